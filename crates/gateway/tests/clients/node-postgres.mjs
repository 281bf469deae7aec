// node-postgres: the client of Node, with SCRAM bound to the TLS channel (see steps.py for what a step is).
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

// Packages are not beside this file; they are where the harness says.
const require = createRequire(`${process.env.VIGIE_NODE_MODULES}/here.js`)
const { Client, types } = require('pg')

const { VIGIE_HOST, VIGIE_PORT, VIGIE_USER, VIGIE_PASSWORD, VIGIE_DATABASE, VIGIE_CA, VIGIE_PURPOSE } = process.env
const HEAVY =
    'SELECT a.code FROM countries a, countries b, countries c, countries d, countries e, countries f, countries g ' +
    'WHERE length(a.name) + length(b.name) + length(c.name) + length(d.name) + length(e.name) + length(f.name) ' +
    '+ length(g.name) = 0'

types.setTypeParser(20, Number)

const connect = async (password = VIGIE_PASSWORD) => {
    const client = new Client({
        host: VIGIE_HOST, port: Number(VIGIE_PORT), user: VIGIE_USER, password, database: VIGIE_DATABASE,
        ssl: { ca: readFileSync(VIGIE_CA, 'utf8') }, enableChannelBinding: true, connectionTimeoutMillis: 60000,
        options: VIGIE_PURPOSE ? `-c vigie.purpose=${VIGIE_PURPOSE}` : undefined,
    })
    await client.connect()
    return client
}

const client = await connect()
const notices = []
client.on('notice', (notice) => notices.push(notice.code))
const print = (line) => console.log(JSON.stringify(line))
const step = async (name, what) => {
    try {
        print({ step: name, value: await what() })
    } catch (error) {
        print({ step: name, sqlstate: error.code ?? error.message })
    }
}
const rows = async (text, values) => (await client.query({ text, values, rowMode: 'array' })).rows

await step('connect', () => ({ tls: client.connection.stream.encrypted }))
await step('purpose', async () => (await rows('SHOW vigie.purpose'))[0][0] === (VIGIE_PURPOSE ?? ''))
await step('wrong password', async () => {
    try {
        await (await connect('not the password')).end()
        return 'let in'
    } catch (error) {
        return error.code === '28P01' ? 'refused' : error.code
    }
})
await step('public rows', () => rows("SELECT code, name FROM countries WHERE code = 'FR'"))
await step('one person', () => rows('SELECT id, country, birth_year FROM users WHERE id = 2'))
await step('parameters', () =>
    rows('SELECT $1::bigint, $2::text, $3::bool, $4::float8, $5::int[], $6::text', [2 ** 40, 'žluťoučký 👏', true, 1.5, [1, null, 3], null]))
await step('a person by parameter', () => rows('SELECT id, display_name, created_at FROM users WHERE id = $1', [2]))
await step('prepared and used again', async () => {
    const found = []
    for (let round = 0; round < 3; round += 1) {
        found.push((await client.query({ name: 'person', text: 'SELECT id, country FROM users WHERE id = $1', values: [2], rowMode: 'array' })).rows[0])
    }
    return found
})
await step('rows in parts', async () => {
    await client.query('BEGIN')
    // `rows` is the limit of Execute: the portal is suspended, and node-postgres asks for the rest.
    const found = await client.query({ text: 'SELECT id, country FROM users WHERE id <= $1 ORDER BY id', values: [1000], rows: 100, rowMode: 'array' })
    await client.query('COMMIT')
    return { rows: found.rows.length, ordered: found.rows.every((row, at) => at === 0 || row[0] > found.rows[at - 1][0]) }
})
await step('queued together', async () => {
    const found = await Promise.all(['AT', 'BE', 'CY'].map((code) => rows('SELECT code FROM countries WHERE code = $1', [code])))
    return found.flat(2)
})
await step('rollback', async () => {
    await client.query('BEGIN')
    await rows('SELECT id, country FROM users WHERE id = 2')
    await client.query('ROLLBACK')
    return (await rows('SELECT 1'))[0][0]
})
await step('an error and on', async () => {
    const state = await rows('SELECT nothing FROM countries').catch((error) => error.code)
    return [state, (await rows('SELECT 1'))[0][0]]
})
await step('an error in a transaction', async () => {
    await client.query('BEGIN')
    const states = []
    for (const statement of ['SELECT nothing FROM countries', 'SELECT 1']) {
        states.push(await rows(statement).then(() => 'none', (error) => error.code))
    }
    await client.query('ROLLBACK')
    return states
})
await step('savepoint', async () => {
    await client.query('BEGIN')
    await client.query('SAVEPOINT a')
    const state = await rows('SELECT nothing FROM countries').catch((error) => error.code)
    await client.query('ROLLBACK TO a')
    const found = await rows("SELECT code FROM countries WHERE code = 'FR'")
    await client.query('COMMIT')
    return [state, found[0][0]]
})
await step('cancel', async () => {
    // node-postgres cancels by a second client; repeated, since a cancel that comes before its query is lost.
    const { processID, secretKey } = client
    const running = rows(HEAVY).then(() => 'none', (error) => error.code)
    let over = false
    running.then(() => { over = true })
    while (!over) {
        const canceller = new Client({ host: VIGIE_HOST, port: Number(VIGIE_PORT), ssl: { ca: readFileSync(VIGIE_CA, 'utf8') } })
        const { connection } = canceller
        await new Promise((done) => {
            connection.on('connect', () => connection.requestSsl())
            connection.on('sslconnect', () => connection.cancel(processID, secretKey))
            connection.on('error', done)
            connection.on('end', done)
            connection.connect(Number(VIGIE_PORT), VIGIE_HOST)
        })
        await Promise.race([running, new Promise((again) => setTimeout(again, 100))])
    }
    return [await running, (await rows('SELECT 1'))[0][0]]
})
await step('many rows', async () => {
    const found = await rows('SELECT id, subject, kind, ts FROM events ORDER BY id LIMIT 20000')
    return { rows: found.length, columns: found[0].length }
})
await step('nulls', () => rows('SELECT id, subject, amount_minor FROM events WHERE subject = 2 ORDER BY id LIMIT 2'))
await step('unicode', () => rows('SELECT name FROM countries WHERE name = $1', ['Türkiye']))
await step('arrays', () => rows('SELECT code FROM countries WHERE code = ANY($1) ORDER BY code', [['SE', 'DK']]))
await step('times', () => rows("SELECT TIMESTAMPTZ '2026-06-30 23:59:59.999+00'"))
await step('two statements at once', async () => {
    const found = await client.query({ text: "SELECT code FROM countries WHERE code = 'AT'; SELECT code FROM countries WHERE code = 'BE'", rowMode: 'array' })
    return found.map((one) => one.rows)
})
await step('notice', async () => {
    notices.length = 0
    await client.query('ROLLBACK')
    return notices
})
await step('set and show', async () => {
    await client.query("SET statement_timeout = '30s'")
    return (await rows('SHOW statement_timeout'))[0][0]
})
await step('a write', async () => (await client.query("UPDATE users SET display_name = 'x' WHERE id = 2")).rowCount)
await client.end()
