// pgjdbc: binary transfer, fetch sizes, batches, CopyManager and the catalog queries of DatabaseMetaData (see steps.py
// for what a step is). Run as `java -cp postgresql.jar Jdbc.java`. Debian's version knows no channel binding.

import java.io.StringWriter;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import org.postgresql.PGConnection;

public final class Jdbc {
    interface Step {
        Object run() throws Exception;
    }

    static final Map<String, String> ENV = System.getenv();
    static final String HEAVY =
        "SELECT a.code FROM countries a, countries b, countries c, countries d, countries e, countries f, countries g "
            + "WHERE length(a.name) + length(b.name) + length(c.name) + length(d.name) + length(e.name) + length(f.name) "
            + "+ length(g.name) = 0";

    static Connection connection;

    static Connection connect(String password) throws SQLException {
        Properties properties = new Properties();
        properties.put("user", ENV.get("VIGIE_USER"));
        properties.put("password", password);
        properties.put("sslmode", "verify-full");
        properties.put("sslrootcert", ENV.get("VIGIE_CA"));
        properties.put("loginTimeout", "60");
        properties.put("prepareThreshold", "2");
        String purpose = ENV.getOrDefault("VIGIE_PURPOSE", "");
        if (!purpose.isEmpty()) {
            properties.put("options", "-c vigie.purpose=" + purpose);
        }
        String address = ENV.get("VIGIE_HOST") + ":" + ENV.get("VIGIE_PORT") + "/" + ENV.get("VIGIE_DATABASE");
        return DriverManager.getConnection("jdbc:postgresql://" + address, properties);
    }

    static String json(Object value) {
        if (value == null || value instanceof Number || value instanceof Boolean) {
            return String.valueOf(value);
        }
        if (value instanceof List<?> list) {
            return "[" + String.join(",", list.stream().map(Jdbc::json).toList()) + "]";
        }
        return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
    }

    static void step(String name, Step what) throws SQLException {
        try {
            System.out.println("{\"step\":" + json(name) + ",\"value\":" + json(what.run()) + "}");
        } catch (SQLException error) {
            System.out.println("{\"step\":" + json(name) + ",\"sqlstate\":" + json(error.getSQLState()) + "}");
        } catch (Exception error) {
            System.out.println("{\"step\":" + json(name) + ",\"sqlstate\":" + json(error.toString()) + "}");
        }
        if (!connection.isClosed() && !connection.getAutoCommit()) {
            connection.rollback();
            connection.setAutoCommit(true);
        }
    }

    static List<Object> rows(ResultSet result) throws SQLException {
        List<Object> found = new ArrayList<>();
        while (result.next()) {
            List<Object> row = new ArrayList<>();
            for (int at = 1; at <= result.getMetaData().getColumnCount(); at++) {
                Object value = result.getObject(at);
                if (value instanceof Array array) {
                    value = List.of((Object[]) array.getArray());
                }
                row.add(value);
            }
            found.add(row);
        }
        return found;
    }

    static List<Object> query(String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet result = statement.executeQuery(sql)) {
            return rows(result);
        }
    }

    static String state(String sql) {
        try {
            query(sql);
            return "none";
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }

    public static void main(String[] arguments) throws Exception {
        connection = connect(ENV.get("VIGIE_PASSWORD"));
        step("connect", () -> connection.getMetaData().getDatabaseMajorVersion());
        step("purpose", () -> query("SHOW vigie.purpose").equals(List.of(List.of(ENV.getOrDefault("VIGIE_PURPOSE", "")))));
        step("wrong password", () -> {
            try {
                connect("not the password").close();
                return "let in";
            } catch (SQLException error) {
                return "28P01".equals(error.getSQLState()) ? "refused" : error.getSQLState();
            }
        });
        step("public rows", () -> query("SELECT code, name FROM countries WHERE code = 'FR'"));
        step("one person", () -> query("SELECT id, country, birth_year FROM users WHERE id = 2"));
        step("parameters", () -> {
            String sql = "SELECT ?::bigint, ?::text, ?::bool, ?::float8, ?::text[], ?::text";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setLong(1, 1L << 40);
                statement.setString(2, "žluťoučký 👏");
                statement.setBoolean(3, true);
                statement.setDouble(4, 1.5);
                statement.setArray(5, connection.createArrayOf("text", new Object[] {"a", "b"}));
                statement.setNull(6, Types.VARCHAR);
                return rows(statement.executeQuery());
            }
        });
        step("a person by parameter", () -> {
            String sql = "SELECT id, display_name, created_at FROM users WHERE id = ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setLong(1, 2);
                ResultSet result = statement.executeQuery();
                return result.next()
                    ? List.of(result.getLong(1), result.getString(2),
                        result.getObject(3, OffsetDateTime.class).withOffsetSameInstant(ZoneOffset.UTC))
                    : List.of();
            }
        });
        step("prepared and used again, then binary", () -> {
            // Twice by an unnamed statement, then by one with a name, whose results come in binary.
            List<Object> found = new ArrayList<>();
            try (PreparedStatement statement = connection.prepareStatement("SELECT id, country FROM users WHERE id = ?")) {
                for (int round = 0; round < 6; round++) {
                    statement.setLong(1, 2);
                    found.addAll(rows(statement.executeQuery()));
                }
            }
            return found;
        });
        step("rows in parts", () -> {
            connection.setAutoCommit(false);
            String sql = "SELECT id, country FROM users WHERE id <= 1000 ORDER BY id";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setFetchSize(100);
                return rows(statement.executeQuery()).size();
            }
        });
        step("a batch of reads", () -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT code FROM countries WHERE code = ?")) {
                for (String code : List.of("AT", "BE")) {
                    statement.setString(1, code);
                    statement.addBatch();
                }
                statement.executeBatch();
                return "done";
            }
        });
        step("copy", () -> {
            StringWriter out = new StringWriter();
            connection.unwrap(PGConnection.class).getCopyAPI()
                .copyOut("COPY (SELECT id, country FROM users WHERE id <= 100 ORDER BY id) TO STDOUT", out);
            return out.toString().lines().count();
        });
        step("copy of public rows", () -> {
            StringWriter out = new StringWriter();
            connection.unwrap(PGConnection.class).getCopyAPI()
                .copyOut("COPY (SELECT code, name FROM countries ORDER BY code) TO STDOUT WITH (FORMAT csv)", out);
            return out.toString().lines().count();
        });
        step("rollback", () -> {
            connection.setAutoCommit(false);
            query("SELECT id, country FROM users WHERE id = 2");
            connection.rollback();
            return query("SELECT 1");
        });
        step("an error and on", () -> List.of(state("SELECT nothing FROM countries"), query("SELECT 1")));
        step("an error in a transaction", () -> {
            connection.setAutoCommit(false);
            return List.of(state("SELECT nothing FROM countries"), state("SELECT 1"));
        });
        step("savepoint", () -> {
            connection.setAutoCommit(false);
            Savepoint savepoint = connection.setSavepoint();
            String state = state("SELECT nothing FROM countries");
            connection.rollback(savepoint);
            return List.of(state, query("SELECT code FROM countries WHERE code = 'FR'"));
        });
        step("cancel", () -> {
            try (Statement statement = connection.createStatement()) {
                boolean[] over = {false};
                // Repeated, since a cancel that comes before its query is lost; `Statement.cancel` sends only one.
                Thread canceller = new Thread(() -> {
                    while (!over[0]) {
                        try {
                            Thread.sleep(100);
                            connection.unwrap(PGConnection.class).cancelQuery();
                        } catch (SQLException | InterruptedException ignored) {
                            // The next one may succeed.
                        }
                    }
                });
                canceller.setDaemon(true);
                canceller.start();
                String state = "none";
                try {
                    statement.executeQuery(HEAVY);
                } catch (SQLException error) {
                    state = error.getSQLState();
                }
                over[0] = true;
                canceller.join();
                return List.of(state, query("SELECT 1"));
            }
        });
        step("query timeout", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(2);
                statement.executeQuery(HEAVY);
                return "none";
            }
        });
        step("many rows", () -> query("SELECT id, subject, kind, ts FROM events ORDER BY id LIMIT 20000").size());
        step("nulls", () -> query("SELECT id, subject, amount_minor FROM events WHERE subject = 2 ORDER BY id LIMIT 2"));
        step("unicode", () -> query("SELECT name FROM countries WHERE name = 'Türkiye'"));
        step("arrays", () -> {
            String sql = "SELECT code FROM countries WHERE code = ANY(?) ORDER BY code";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setArray(1, connection.createArrayOf("text", new Object[] {"SE", "DK"}));
                return rows(statement.executeQuery());
            }
        });
        step("two statements at once", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.execute("SELECT code FROM countries WHERE code = 'AT'; SELECT code FROM countries WHERE code = 'BE'");
                List<Object> first = rows(statement.getResultSet());
                return List.of(first, statement.getMoreResults() ? rows(statement.getResultSet()) : List.of());
            }
        });
        step("tables, by metadata", () -> {
            DatabaseMetaData metadata = connection.getMetaData();
            TreeSet<String> names = new TreeSet<>();
            try (ResultSet found = metadata.getTables(null, null, "%", new String[] {"TABLE", "VIEW"})) {
                while (found.next()) {
                    names.add(found.getString("TABLE_NAME"));
                }
            }
            names.retainAll(List.of("countries", "events", "messages", "payments", "users", "videos"));
            return new ArrayList<>(names);
        });
        step("columns, by metadata", () -> {
            TreeSet<String> names = new TreeSet<>();
            try (ResultSet found = connection.getMetaData().getColumns(null, null, "countries", "%")) {
                while (found.next()) {
                    names.add(found.getString("COLUMN_NAME") + " " + found.getString("TYPE_NAME"));
                }
            }
            return new ArrayList<>(names);
        });
        step("notice", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.execute("ROLLBACK");
                SQLWarning warning = statement.getWarnings();
                return warning == null ? List.of() : List.of(warning.getSQLState());
            }
        });
        step("set and show", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.execute("SET statement_timeout = '30s'");
            }
            return query("SHOW statement_timeout");
        });
        step("a write", () -> {
            try (Statement statement = connection.createStatement()) {
                return statement.executeUpdate("UPDATE users SET display_name = 'x' WHERE id = 2");
            }
        });
        connection.close();
    }
}
