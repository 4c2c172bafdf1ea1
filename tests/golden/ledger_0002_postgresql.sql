-- The tables of an empty ledger of version 0002 on PostgreSQL, as its migrations left them
-- (`pg_dump`).
CREATE FUNCTION public.ledger_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'rows of the ledger are never changed'; END $$;
CREATE TABLE public.calculations (
    sequence bigint NOT NULL,
    calculation_id character varying(64) NOT NULL,
    kind character varying(16) NOT NULL,
    create_ms bigint NOT NULL,
    request_id character varying(128) NOT NULL,
    account_id character varying(128) NOT NULL,
    generation text NOT NULL,
    inputs text NOT NULL,
    digest character varying(64) NOT NULL,
    accounts integer NOT NULL,
    positions bigint NOT NULL,
    initial_margin_usd double precision NOT NULL,
    margin text NOT NULL,
    portfolio_version bigint NOT NULL,
    accounts_failed integer NOT NULL,
    expired_positions bigint NOT NULL,
    failures text NOT NULL,
    idempotency_key character varying(160)
);
CREATE TABLE public.entries (
    sequence bigint NOT NULL,
    kind character varying(24) NOT NULL,
    subject character varying(64) NOT NULL,
    content_hash character varying(64) NOT NULL,
    previous_hash character varying(64) NOT NULL,
    hash character varying(64) NOT NULL,
    create_ms bigint NOT NULL
);
CREATE TABLE public.generations (
    number bigint NOT NULL,
    sequence bigint NOT NULL,
    kind character varying(16) NOT NULL,
    snapshot_id character varying(64) NOT NULL,
    scenarios_id character varying(64) NOT NULL,
    idempotency_key character varying(160),
    content character varying(64) NOT NULL,
    request_id character varying(128) NOT NULL,
    caller character varying(256) NOT NULL,
    create_ms bigint NOT NULL
);
CREATE TABLE public.ledger_head (
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    hash character varying(64) NOT NULL,
    portfolio_version bigint NOT NULL,
    generation_number bigint NOT NULL,
    checked_ms bigint NOT NULL,
    CONSTRAINT ck_ledger_head_one_row CHECK ((id = 1))
);
CREATE TABLE public.ledger_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.portfolio_changes (
    version bigint NOT NULL,
    sequence bigint NOT NULL,
    kind character varying(16) NOT NULL,
    idempotency_key character varying(160),
    content character varying(128) NOT NULL,
    accounts integer NOT NULL,
    positions bigint NOT NULL,
    request_id character varying(128) NOT NULL,
    caller character varying(256) NOT NULL,
    create_ms bigint NOT NULL
);
CREATE TABLE public.scenario_sets (
    sequence bigint NOT NULL,
    scenarios_id character varying(64) NOT NULL,
    engine character varying(64) NOT NULL,
    underlyings text NOT NULL,
    scenarios integer NOT NULL,
    horizon_hours double precision NOT NULL,
    first_end_ms bigint NOT NULL,
    last_end_ms bigint NOT NULL,
    is_synthetic boolean NOT NULL,
    create_ms bigint NOT NULL
);
CREATE TABLE public.snapshots (
    sequence bigint NOT NULL,
    snapshot_id character varying(64) NOT NULL,
    time_ms bigint NOT NULL,
    options integer NOT NULL,
    is_synthetic boolean NOT NULL,
    create_ms bigint NOT NULL
);
CREATE TABLE public.trades (
    version bigint NOT NULL,
    number bigint NOT NULL,
    account_id character varying(128) NOT NULL,
    member_id character varying(128) NOT NULL,
    instrument_name character varying(64) NOT NULL,
    quantity double precision NOT NULL
);
CREATE TABLE public.unchanged_requests (
    sequence bigint NOT NULL,
    kind character varying(16) NOT NULL,
    idempotency_key character varying(160) NOT NULL,
    content character varying(64) NOT NULL,
    number bigint NOT NULL,
    request_id character varying(128) NOT NULL,
    caller character varying(256) NOT NULL,
    create_ms bigint NOT NULL
);
INSERT INTO public.ledger_head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0, 0, 0);
INSERT INTO public.ledger_version VALUES ('0002');
ALTER TABLE ONLY public.ledger_version
    ADD CONSTRAINT ledger_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.calculations
    ADD CONSTRAINT pk_calculations PRIMARY KEY (sequence);
ALTER TABLE ONLY public.entries
    ADD CONSTRAINT pk_entries PRIMARY KEY (sequence);
ALTER TABLE ONLY public.generations
    ADD CONSTRAINT pk_generations PRIMARY KEY (number);
ALTER TABLE ONLY public.ledger_head
    ADD CONSTRAINT pk_ledger_head PRIMARY KEY (id);
ALTER TABLE ONLY public.portfolio_changes
    ADD CONSTRAINT pk_portfolio_changes PRIMARY KEY (version);
ALTER TABLE ONLY public.scenario_sets
    ADD CONSTRAINT pk_scenario_sets PRIMARY KEY (sequence);
ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT pk_snapshots PRIMARY KEY (sequence);
ALTER TABLE ONLY public.trades
    ADD CONSTRAINT pk_trades PRIMARY KEY (version, number);
ALTER TABLE ONLY public.unchanged_requests
    ADD CONSTRAINT pk_unchanged_requests PRIMARY KEY (sequence);
ALTER TABLE ONLY public.calculations
    ADD CONSTRAINT uq_calculations_calculation_id UNIQUE (calculation_id);
ALTER TABLE ONLY public.generations
    ADD CONSTRAINT uq_generations_kind_idempotency_key UNIQUE (kind, idempotency_key);
ALTER TABLE ONLY public.generations
    ADD CONSTRAINT uq_generations_sequence UNIQUE (sequence);
ALTER TABLE ONLY public.portfolio_changes
    ADD CONSTRAINT uq_portfolio_changes_kind_idempotency_key UNIQUE (kind, idempotency_key);
ALTER TABLE ONLY public.portfolio_changes
    ADD CONSTRAINT uq_portfolio_changes_sequence UNIQUE (sequence);
ALTER TABLE ONLY public.scenario_sets
    ADD CONSTRAINT uq_scenario_sets_scenarios_id UNIQUE (scenarios_id);
ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT uq_snapshots_snapshot_id UNIQUE (snapshot_id);
ALTER TABLE ONLY public.unchanged_requests
    ADD CONSTRAINT uq_unchanged_requests_kind_idempotency_key UNIQUE (kind, idempotency_key);
CREATE INDEX ix_calculations_account_id_sequence ON public.calculations USING btree (account_id, sequence);
CREATE INDEX ix_calculations_books ON public.calculations USING btree (sequence) WHERE ((kind)::text = 'book'::text);
CREATE TRIGGER calculations_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.calculations FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER entries_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.entries FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER generations_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.generations FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER portfolio_changes_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.portfolio_changes FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER scenario_sets_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.scenario_sets FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER snapshots_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.snapshots FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER trades_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.trades FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
CREATE TRIGGER unchanged_requests_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.unchanged_requests FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_refuse_change();
ALTER TABLE ONLY public.calculations
    ADD CONSTRAINT fk_calculations_sequence FOREIGN KEY (sequence) REFERENCES public.entries(sequence);
ALTER TABLE ONLY public.generations
    ADD CONSTRAINT fk_generations_sequence FOREIGN KEY (sequence) REFERENCES public.entries(sequence);
ALTER TABLE ONLY public.portfolio_changes
    ADD CONSTRAINT fk_portfolio_changes_sequence FOREIGN KEY (sequence) REFERENCES public.entries(sequence);
ALTER TABLE ONLY public.scenario_sets
    ADD CONSTRAINT fk_scenario_sets_sequence FOREIGN KEY (sequence) REFERENCES public.entries(sequence);
ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT fk_snapshots_sequence FOREIGN KEY (sequence) REFERENCES public.entries(sequence);
ALTER TABLE ONLY public.trades
    ADD CONSTRAINT fk_trades_version FOREIGN KEY (version) REFERENCES public.portfolio_changes(version);
ALTER TABLE ONLY public.unchanged_requests
    ADD CONSTRAINT fk_unchanged_requests_sequence FOREIGN KEY (sequence) REFERENCES public.entries(sequence);
