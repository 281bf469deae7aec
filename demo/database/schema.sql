-- The tables of the sample platform "Pixelle". Every governed row carries `pmask`, the mask of the decisions about its
-- person: a reader for a purpose sees the row only where the purpose's bit is 1. Keys and indexes follow the rows
-- (indexes.sql), which is quicker than keeping them while rows come in.
CREATE TABLE public.countries (
    code text NOT NULL,
    name text NOT NULL,
    eu boolean NOT NULL
);
CREATE TABLE public.users (
    id bigint NOT NULL,
    email text NOT NULL,
    phone text,
    display_name text NOT NULL,
    country text NOT NULL,
    birth_year int,
    ip inet,
    created_at timestamptz NOT NULL,
    pmask bigint NOT NULL DEFAULT 0
);
CREATE TABLE public.videos (
    id bigint NOT NULL,
    author bigint NOT NULL,
    title text NOT NULL,
    visibility text NOT NULL,
    views bigint NOT NULL,
    created_at timestamptz NOT NULL,
    pmask bigint NOT NULL DEFAULT 0
);
CREATE TABLE public.events (
    id bigint NOT NULL,
    subject bigint NOT NULL,
    kind text NOT NULL,
    amount_minor bigint,
    device text NOT NULL,
    ts timestamptz NOT NULL,
    pmask bigint NOT NULL DEFAULT 0
);
CREATE TABLE public.messages (
    id bigint NOT NULL,
    sender bigint NOT NULL,
    recipient bigint NOT NULL,
    body text NOT NULL,
    sent_at timestamptz NOT NULL,
    pmask bigint NOT NULL DEFAULT 0
);
CREATE TABLE public.payments (
    id bigint NOT NULL,
    subject bigint NOT NULL,
    iban text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    paid_at timestamptz NOT NULL,
    pmask bigint NOT NULL DEFAULT 0
);
