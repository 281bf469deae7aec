//! `vigie gateway seal-key` and `seal`: keys of sealed cells, and columns and values that are sealed with them.

use super::{
    arguments::{SealKeyOptions, SealOptions},
    config_of, fault, private,
};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
    policy::{arguments::DatabaseArguments, connected, map_of},
};
use serde_json::json;
use std::io::Read as _;
use vigie_choices::Subject;
use vigie_gateway::{
    gateway::seal_keys,
    sealed::{
        SealKeys,
        column::{Held, SealError, SealedColumn},
    },
};
use vigie_ledger::hash::hex;

/// The longest value that is sealed from standard input, in bytes.
const LONGEST: u64 = 1 << 20;

fn refused(error: &SealError) -> Fault {
    let help = match error {
        SealError::NotAColumn(_) => "write it as the data map does, for instance `public.users.email`",
        SealError::Unknown(_) => "see the data map for what there is",
        SealError::NotSealed(_) => "write `sealed = true` below its class, and apply the policy",
        SealError::Random => "see whether this machine has a source of randomness",
        SealError::Database { .. } => {
            "connect as who owns the table and sees all of its rows; the server's log has the words of the error"
        }
    };
    Fault::Gateway { why: in_full(error), help: Some(help.to_owned()) }
}

/// Writes a new key.
pub fn new_key(options: &SealKeyOptions, common: &Common) -> Result<u8, Fault> {
    let key: [u8; 32] = crate::ledger::random()?;
    let text = format!(
        "# Keys of sealed cells, of vigie: the first seals, all of them open. Who reads this file opens every cell; without\n\
         # it, what is sealed is lost.\n{}\n",
        hex(&key)
    );
    private::file(&options.file, text.as_bytes())?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-seal-key/1", "file": options.file }))?);
    } else if !common.quiet {
        print_line(&format!(
            "Made {}: name it as `seal_keys` in the configuration of every gateway, and keep a copy elsewhere than the \
             database's backups",
            options.file.display()
        ));
    }
    Ok(0)
}

/// Seals a column, or one value.
pub async fn seal(options: &SealOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(&options.gateway)?;
    let map = map_of(&config.policy.map)?;
    let column = SealedColumn::find(&map, &options.column).map_err(|error| refused(&error))?;
    let keys = seal_keys(&config, &map).map_err(|error| fault(&error))?;
    let keys = keys.ok_or_else(|| Fault::Gateway {
        why: "the configuration has no `seal_keys`".to_owned(),
        help: Some("make a key with `vigie gateway seal-key FILE`, and name it".to_owned()),
    })?;
    match &options.subject {
        Some(subject) => {
            // As the database prints it, which is what a cell is bound to.
            let subject = Subject::parse(map.subject_type, subject).map_err(|error| Fault::Gateway {
                why: in_full(&error),
                help: Some("give the person's id as the data map's tables have it".to_owned()),
            })?;
            value(&column, &keys, subject.as_str(), common)
        }
        None => whole(&column, &keys, options, common).await,
    }
}

/// Seals the value on standard input, of one person.
fn value(column: &SealedColumn, keys: &SealKeys, subject: &str, common: &Common) -> Result<u8, Fault> {
    let unread = |why: String| Fault::Gateway {
        why: format!("the value cannot be read: {why}"),
        help: Some("pipe it in, in UTF-8, at most 1 MiB".to_owned()),
    };
    let mut value = String::new();
    std::io::stdin().take(LONGEST + 1).read_to_string(&mut value).map_err(|error| unread(in_full(&error)))?;
    if value.len() as u64 > LONGEST {
        return Err(unread("it is longer than 1 MiB".to_owned()));
    }
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let cell = column.cell(keys, subject, value).map_err(|error| refused(&error))?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-sealed-value/1", "cell": cell }))?);
    } else {
        print_line(&cell);
    }
    Ok(0)
}

/// Seals what the column holds in the clear; 1 if something in the clear is left.
async fn whole(column: &SealedColumn, keys: &SealKeys, options: &SealOptions, common: &Common) -> Result<u8, Fault> {
    let Some(address) = &options.database else {
        return Err(Fault::Gateway {
            why: "which database is to be sealed in was not said".to_owned(),
            help: Some("name it with `--database`, or seal one value with `--subject`".to_owned()),
        });
    };
    let arguments = DatabaseArguments { database: address.clone(), database_ca: options.database_ca.clone() };
    let mut client = connected(&arguments).await?;
    let n_sealed =
        if options.dry_run { 0 } else { column.seal(&mut client, keys).await.map_err(|error| refused(&error))? };
    let Held { sealed, clear, of_nobody } = column.held(&mut client).await.map_err(|error| refused(&error))?;
    if common.json {
        let document = json!({
            "schema": "vigie-seal/1",
            "column": options.column,
            "dry_run": options.dry_run,
            "sealed_now": n_sealed,
            "sealed": sealed,
            "clear": clear,
            "of_nobody": of_nobody,
        });
        print_line(&json_of(&document)?);
    } else {
        print_line(&format!("{}: {n_sealed} values sealed now, {sealed} in all, {clear} in the clear", options.column));
        if of_nobody > 0 {
            print_line(&format!("  {of_nobody} of those are in rows without a person, and cannot be sealed"));
        }
        if n_sealed > 0 && !common.quiet {
            let table = options.column.rsplit_once('.').map_or(options.column.as_str(), |(table, _)| table);
            eprintln!(
                "vigie: old versions of rows still hold values until `VACUUM FULL {table}`; backups, replicas and the \
                 write-ahead log hold them until they are gone"
            );
        }
    }
    Ok(u8::from(clear > 0))
}
