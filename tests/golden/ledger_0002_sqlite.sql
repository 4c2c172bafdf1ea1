-- The tables of an empty ledger of version 0002 on SQLite, as its migrations left them
-- (`sqlite_master`).
CREATE TABLE calculations (
	sequence INTEGER NOT NULL, 
	calculation_id VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	create_ms BIGINT NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	account_id VARCHAR(128) NOT NULL, 
	generation TEXT NOT NULL, 
	inputs TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	accounts INTEGER NOT NULL, 
	positions BIGINT NOT NULL, 
	initial_margin_usd DOUBLE NOT NULL, 
	margin TEXT NOT NULL, 
	portfolio_version BIGINT NOT NULL, 
	accounts_failed INTEGER NOT NULL, 
	expired_positions BIGINT NOT NULL, 
	failures TEXT NOT NULL, 
	idempotency_key VARCHAR(160), 
	CONSTRAINT pk_calculations PRIMARY KEY (sequence), 
	CONSTRAINT fk_calculations_sequence FOREIGN KEY(sequence) REFERENCES entries (sequence), 
	CONSTRAINT uq_calculations_calculation_id UNIQUE (calculation_id)
);
CREATE TABLE entries (
	sequence INTEGER NOT NULL, 
	kind VARCHAR(24) NOT NULL, 
	subject VARCHAR(64) NOT NULL, 
	content_hash VARCHAR(64) NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	create_ms BIGINT NOT NULL, 
	CONSTRAINT pk_entries PRIMARY KEY (sequence)
);
CREATE TABLE generations (
	number INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	snapshot_id VARCHAR(64) NOT NULL, 
	scenarios_id VARCHAR(64) NOT NULL, 
	idempotency_key VARCHAR(160), 
	content VARCHAR(64) NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	caller VARCHAR(256) NOT NULL, 
	create_ms BIGINT NOT NULL, 
	CONSTRAINT pk_generations PRIMARY KEY (number), 
	CONSTRAINT uq_generations_kind_idempotency_key UNIQUE (kind, idempotency_key), 
	CONSTRAINT uq_generations_sequence UNIQUE (sequence), 
	CONSTRAINT fk_generations_sequence FOREIGN KEY(sequence) REFERENCES entries (sequence)
);
CREATE TABLE ledger_head (
	id INTEGER NOT NULL, 
	sequence BIGINT NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	portfolio_version BIGINT NOT NULL, 
	generation_number BIGINT NOT NULL, 
	checked_ms BIGINT NOT NULL, 
	CONSTRAINT pk_ledger_head PRIMARY KEY (id), 
	CONSTRAINT ck_ledger_head_one_row CHECK (id = 1)
);
CREATE TABLE ledger_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT ledger_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE portfolio_changes (
	version INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	idempotency_key VARCHAR(160), 
	content VARCHAR(128) NOT NULL, 
	accounts INTEGER NOT NULL, 
	positions BIGINT NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	caller VARCHAR(256) NOT NULL, 
	create_ms BIGINT NOT NULL, 
	CONSTRAINT pk_portfolio_changes PRIMARY KEY (version), 
	CONSTRAINT uq_portfolio_changes_kind_idempotency_key UNIQUE (kind, idempotency_key), 
	CONSTRAINT uq_portfolio_changes_sequence UNIQUE (sequence), 
	CONSTRAINT fk_portfolio_changes_sequence FOREIGN KEY(sequence) REFERENCES entries (sequence)
);
CREATE TABLE scenario_sets (
	sequence INTEGER NOT NULL, 
	scenarios_id VARCHAR(64) NOT NULL, 
	engine VARCHAR(64) NOT NULL, 
	underlyings TEXT NOT NULL, 
	scenarios INTEGER NOT NULL, 
	horizon_hours DOUBLE NOT NULL, 
	first_end_ms BIGINT NOT NULL, 
	last_end_ms BIGINT NOT NULL, 
	is_synthetic BOOLEAN NOT NULL, 
	create_ms BIGINT NOT NULL, 
	CONSTRAINT pk_scenario_sets PRIMARY KEY (sequence), 
	CONSTRAINT fk_scenario_sets_sequence FOREIGN KEY(sequence) REFERENCES entries (sequence), 
	CONSTRAINT uq_scenario_sets_scenarios_id UNIQUE (scenarios_id)
);
CREATE TABLE snapshots (
	sequence INTEGER NOT NULL, 
	snapshot_id VARCHAR(64) NOT NULL, 
	time_ms BIGINT NOT NULL, 
	options INTEGER NOT NULL, 
	is_synthetic BOOLEAN NOT NULL, 
	create_ms BIGINT NOT NULL, 
	CONSTRAINT pk_snapshots PRIMARY KEY (sequence), 
	CONSTRAINT fk_snapshots_sequence FOREIGN KEY(sequence) REFERENCES entries (sequence), 
	CONSTRAINT uq_snapshots_snapshot_id UNIQUE (snapshot_id)
);
CREATE TABLE trades (
	version INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	account_id VARCHAR(128) NOT NULL, 
	member_id VARCHAR(128) NOT NULL, 
	instrument_name VARCHAR(64) NOT NULL, 
	quantity DOUBLE NOT NULL, 
	CONSTRAINT pk_trades PRIMARY KEY (version, number), 
	CONSTRAINT fk_trades_version FOREIGN KEY(version) REFERENCES portfolio_changes (version)
);
CREATE TABLE unchanged_requests (
	sequence INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	idempotency_key VARCHAR(160) NOT NULL, 
	content VARCHAR(64) NOT NULL, 
	number BIGINT NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	caller VARCHAR(256) NOT NULL, 
	create_ms BIGINT NOT NULL, 
	CONSTRAINT pk_unchanged_requests PRIMARY KEY (sequence), 
	CONSTRAINT uq_unchanged_requests_kind_idempotency_key UNIQUE (kind, idempotency_key), 
	CONSTRAINT fk_unchanged_requests_sequence FOREIGN KEY(sequence) REFERENCES entries (sequence)
);
CREATE INDEX ix_calculations_account_id_sequence ON calculations (account_id, sequence);
CREATE INDEX ix_calculations_books ON calculations (sequence) WHERE kind = 'book';
CREATE TRIGGER calculations_no_delete BEFORE DELETE ON calculations BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER calculations_no_update BEFORE UPDATE ON calculations BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER generations_no_delete BEFORE DELETE ON generations BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER generations_no_update BEFORE UPDATE ON generations BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER portfolio_changes_no_delete BEFORE DELETE ON portfolio_changes BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER portfolio_changes_no_update BEFORE UPDATE ON portfolio_changes BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER scenario_sets_no_delete BEFORE DELETE ON scenario_sets BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER scenario_sets_no_update BEFORE UPDATE ON scenario_sets BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER snapshots_no_delete BEFORE DELETE ON snapshots BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER snapshots_no_update BEFORE UPDATE ON snapshots BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER trades_no_delete BEFORE DELETE ON trades BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER trades_no_update BEFORE UPDATE ON trades BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER unchanged_requests_no_delete BEFORE DELETE ON unchanged_requests BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
CREATE TRIGGER unchanged_requests_no_update BEFORE UPDATE ON unchanged_requests BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;
INSERT INTO ledger_version VALUES ('0002');
INSERT INTO ledger_head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0, 0, 0);
