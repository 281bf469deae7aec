-- Keys and indexes of the sample platform. None names `pmask`: an index that does ends HOT updates, and every changed
-- choice would then rewrite the index entries of all rows of a person.
ALTER TABLE public.countries ADD PRIMARY KEY (code);
ALTER TABLE public.users ADD PRIMARY KEY (id);
ALTER TABLE public.videos ADD PRIMARY KEY (id);
ALTER TABLE public.events ADD PRIMARY KEY (id);
ALTER TABLE public.messages ADD PRIMARY KEY (id);
ALTER TABLE public.payments ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX users_email ON public.users (email);
CREATE INDEX videos_author ON public.videos (author);
CREATE INDEX events_subject ON public.events (subject);
CREATE INDEX events_ts ON public.events (ts);
CREATE INDEX messages_sender ON public.messages (sender);
CREATE INDEX messages_recipient ON public.messages (recipient);
CREATE INDEX payments_subject ON public.payments (subject);
ALTER TABLE public.users ADD FOREIGN KEY (country) REFERENCES public.countries;
ALTER TABLE public.videos ADD FOREIGN KEY (author) REFERENCES public.users;
ALTER TABLE public.events ADD FOREIGN KEY (subject) REFERENCES public.users;
ALTER TABLE public.messages ADD FOREIGN KEY (sender) REFERENCES public.users, ADD FOREIGN KEY (recipient) REFERENCES public.users;
ALTER TABLE public.payments ADD FOREIGN KEY (subject) REFERENCES public.users;
ANALYZE public.countries, public.users, public.videos, public.events, public.messages, public.payments;
