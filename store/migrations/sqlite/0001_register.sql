-- The register. Every column of a record is NOT NULL: a null property is its
-- type's zero and a bit in absent (bit i = row i of certstate.Properties), so
-- comparisons have two outcomes and row values compare alike on every engine.
-- part = tenant number << 16 | bucket leads every unique constraint, so that an
-- engine which distributes rows can do so by it.

CREATE TABLE tenant (
  tenant  text   NOT NULL PRIMARY KEY, -- Entra tenant id, lower-case GUID
  no      bigint NOT NULL UNIQUE,      -- never used twice, see counter
  name    text   NOT NULL,
  status  text   NOT NULL,             -- active, suspended
  created bigint NOT NULL              -- 100 ns ticks since 0001-01-01Z
);

CREATE TABLE counter (
  name text   NOT NULL PRIMARY KEY,
  n    bigint NOT NULL
);
INSERT INTO counter (name, n) VALUES ('tenant', 0);

CREATE TABLE secret (
  name  text NOT NULL PRIMARY KEY,
  value blob NOT NULL
);

CREATE TABLE seq (
  part   bigint NOT NULL PRIMARY KEY,
  tenant bigint NOT NULL,
  n      bigint NOT NULL, -- the last change's number
  live   bigint NOT NULL  -- records there are now
);

CREATE TABLE state (
  k      integer PRIMARY KEY, -- ms << 22 | sequence: order of creation, tie-break of every page
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  ver    bigint NOT NULL,     -- the ETag
  absent bigint NOT NULL,
  id     text   NOT NULL,
  revoke_status                bigint NOT NULL,
  revoke_status_changed        bigint NOT NULL, -- ticks; _offset in minutes east
  revoke_status_changed_offset bigint NOT NULL,
  device_name    text NOT NULL,
  upn            text NOT NULL,
  not_after        bigint NOT NULL,
  not_after_offset bigint NOT NULL,
  issuer         text NOT NULL,
  thumbprint     text NOT NULL,
  serial         text NOT NULL,
  subject        text NOT NULL,
  key_usages     bigint NOT NULL,
  ext_key_usages text NOT NULL,
  not_before        bigint NOT NULL,
  not_before_offset bigint NOT NULL,
  device_id text NOT NULL,
  policy_id text NOT NULL,
  user_id   text NOT NULL,
  thumbprint_sha256 text NOT NULL,
  source    text NOT NULL,
  created         bigint NOT NULL,
  created_offset  bigint NOT NULL,
  modified        bigint NOT NULL,
  modified_offset bigint NOT NULL,
  UNIQUE (part, id)
);
CREATE INDEX state_tenant ON state (tenant); -- with k, which SQLite adds to every index

CREATE TABLE change (
  part   bigint NOT NULL,
  n      bigint NOT NULL, -- without gaps, in commit order
  tenant bigint NOT NULL,
  id     text   NOT NULL,
  kind   text   NOT NULL, -- created, updated, deleted
  actor  text   NOT NULL,
  reason text   NOT NULL,
  at     bigint NOT NULL, -- ticks
  before text   NOT NULL, -- the record before, as JSON
  PRIMARY KEY (part, n)
) WITHOUT ROWID;
