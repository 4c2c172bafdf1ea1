-- The tables of a ledger's first version on postgresql, as the software that had no migrations created
-- them (SQLAlchemy 2.1, `metadata.create_all`).
CREATE TABLE about (
  name VARCHAR(32) NOT NULL, 
  value VARCHAR(200) NOT NULL, 
  PRIMARY KEY (name)
);
CREATE TABLE calculations (
  sequence BIGSERIAL NOT NULL, 
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
  initial_margin_usd DOUBLE PRECISION NOT NULL, 
  margin TEXT NOT NULL, 
  PRIMARY KEY (sequence), 
  UNIQUE (calculation_id)
);
CREATE INDEX calculations_account ON calculations (account_id, sequence);
CREATE TABLE heads (
  id SERIAL NOT NULL, 
  number BIGINT NOT NULL, 
  snapshot_id VARCHAR(64) NOT NULL, 
  scenarios_id VARCHAR(64) NOT NULL, 
  PRIMARY KEY (id)
);
CREATE TABLE portfolio_changes (
  version BIGSERIAL NOT NULL, 
  kind VARCHAR(16) NOT NULL, 
  idempotency_key VARCHAR(160), 
  content VARCHAR(64) NOT NULL, 
  accounts INTEGER NOT NULL, 
  positions BIGINT NOT NULL, 
  create_ms BIGINT NOT NULL, 
  PRIMARY KEY (version), 
  UNIQUE (idempotency_key)
);
CREATE TABLE scenario_sets (
  sequence BIGSERIAL NOT NULL, 
  scenarios_id VARCHAR(64) NOT NULL, 
  engine VARCHAR(64) NOT NULL, 
  underlyings TEXT NOT NULL, 
  scenarios INTEGER NOT NULL, 
  horizon_hours DOUBLE PRECISION NOT NULL, 
  first_end_ms BIGINT NOT NULL, 
  last_end_ms BIGINT NOT NULL, 
  is_synthetic BOOLEAN NOT NULL, 
  create_ms BIGINT NOT NULL, 
  PRIMARY KEY (sequence), 
  UNIQUE (scenarios_id)
);
CREATE TABLE snapshots (
  sequence BIGSERIAL NOT NULL, 
  snapshot_id VARCHAR(64) NOT NULL, 
  time_ms BIGINT NOT NULL, 
  options INTEGER NOT NULL, 
  is_synthetic BOOLEAN NOT NULL, 
  create_ms BIGINT NOT NULL, 
  PRIMARY KEY (sequence), 
  UNIQUE (snapshot_id)
);
CREATE TABLE trades (
  id BIGSERIAL NOT NULL, 
  version BIGINT NOT NULL, 
  account_id VARCHAR(128) NOT NULL, 
  member_id VARCHAR(128) NOT NULL, 
  instrument_name VARCHAR(64) NOT NULL, 
  quantity DOUBLE PRECISION NOT NULL, 
  PRIMARY KEY (id)
);
CREATE INDEX ix_trades_version ON trades (version);
INSERT INTO about VALUES ('schema', '1');
