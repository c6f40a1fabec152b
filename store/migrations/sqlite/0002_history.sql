-- The register becomes temporal: every version of a record is kept, and a
-- version is the number of the change that made it. History begins with this
-- migration: earlier versions were not kept as rows.

ALTER TABLE seq ADD COLUMN at       bigint NOT NULL DEFAULT 0; -- ticks of the last change; never falls
ALTER TABLE seq ADD COLUMN floor    bigint NOT NULL DEFAULT 0; -- changes up to this number are no longer kept
ALTER TABLE seq ADD COLUMN floor_at bigint NOT NULL DEFAULT 0; -- ticks of the change numbered floor
UPDATE seq SET floor = n, at = coalesce((SELECT max(c.at) FROM change c WHERE c.part = seq.part), 0);
UPDATE seq SET floor_at = at;

DROP TABLE change;
CREATE TABLE change (
  part   bigint NOT NULL,
  n      bigint NOT NULL, -- without gaps, in commit order
  tenant bigint NOT NULL,
  id     text   NOT NULL,
  kind   text   NOT NULL, -- created, updated, deleted
  actor  text   NOT NULL,
  reason text   NOT NULL,
  at     bigint NOT NULL, -- ticks; never falls as n grows
  PRIMARY KEY (part, n)
) WITHOUT ROWID;

-- Derived columns: what queries compare instead of the text as it was written.
ALTER TABLE state ADD COLUMN thumbprint_hex        text NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN serial_hex            text NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN serial_dec            text NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN thumbprint_sha256_hex text NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN words                 text NOT NULL DEFAULT ''; -- certstate.Words
UPDATE state SET ver = coalesce((SELECT n FROM seq WHERE seq.part = state.part), 0);

DROP INDEX state_tenant; -- secondary indexes are in indexes.sql

-- The versions that records had. The columns are state's, so that one WHERE
-- reads both, and n: the number of the change that ended the version.
CREATE TABLE past (
  k      bigint NOT NULL,
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  ver    bigint NOT NULL,
  absent bigint NOT NULL,
  id     text   NOT NULL,
  revoke_status                bigint NOT NULL,
  revoke_status_changed        bigint NOT NULL,
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
  thumbprint_hex        text NOT NULL,
  serial_hex            text NOT NULL,
  serial_dec            text NOT NULL,
  thumbprint_sha256_hex text NOT NULL,
  words                 text NOT NULL,
  n      bigint NOT NULL,
  PRIMARY KEY (part, n)
);

-- The words of the current records, certstate.DistinctWords: what $search
-- looks words up in.
CREATE TABLE word (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  word   text   NOT NULL,
  k      bigint NOT NULL, -- of the record
  PRIMARY KEY (part, word, k)
) WITHOUT ROWID;
