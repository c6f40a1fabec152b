-- The register, as the newest schema of SQLite has it (migrations/sqlite, where
-- the columns are explained). Texts are ordered and compared by their bytes in
-- whatever database this is. Every key and unique constraint of the tables that
-- hold records begins with part, by which an engine may distribute them.

CREATE TABLE tenant (
  tenant  text COLLATE "C" NOT NULL PRIMARY KEY,
  no      bigint NOT NULL UNIQUE,
  name    text COLLATE "C" NOT NULL,
  status  text COLLATE "C" NOT NULL,
  created bigint NOT NULL
);

CREATE TABLE counter (
  name text COLLATE "C" NOT NULL PRIMARY KEY,
  n    bigint NOT NULL
);
INSERT INTO counter (name, n) VALUES ('tenant', 0);

CREATE TABLE secret (
  name  text COLLATE "C" NOT NULL PRIMARY KEY,
  value bytea NOT NULL
);

-- The servers that write, see node.go. Times are milliseconds since 1970, of
-- the database's clock.
CREATE TABLE node (
  no     bigint NOT NULL PRIMARY KEY,
  holder text COLLATE "C" NOT NULL,
  until  bigint NOT NULL,
  k      bigint NOT NULL, -- the last key made with this number
  batch  bigint NOT NULL  -- the holder's last transaction that was committed
);
INSERT INTO node (no, holder, until, k, batch) SELECT no, '', 0, 0, 0 FROM generate_series(0, 1023) AS free(no);

-- What one server does for all.
CREATE TABLE lease (
  name   text COLLATE "C" NOT NULL PRIMARY KEY,
  holder text COLLATE "C" NOT NULL,
  until  bigint NOT NULL
);
INSERT INTO lease (name, holder, until) VALUES ('prune', '', 0);

CREATE TABLE seq (
  part     bigint NOT NULL PRIMARY KEY,
  tenant   bigint NOT NULL,
  n        bigint NOT NULL,
  live     bigint NOT NULL,
  at       bigint NOT NULL DEFAULT 0,
  floor    bigint NOT NULL DEFAULT 0,
  floor_at bigint NOT NULL DEFAULT 0
) /*PARTITION BY HASH (part)*/;

CREATE TABLE state (
  k      bigint NOT NULL,
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  ver    bigint NOT NULL,
  absent bigint NOT NULL,
  id     text COLLATE "C" NOT NULL,
  revoke_status                bigint NOT NULL,
  revoke_status_changed        bigint NOT NULL,
  revoke_status_changed_offset bigint NOT NULL,
  device_name    text COLLATE "C" NOT NULL,
  upn            text COLLATE "C" NOT NULL,
  not_after        bigint NOT NULL,
  not_after_offset bigint NOT NULL,
  issuer         text COLLATE "C" NOT NULL,
  thumbprint     text COLLATE "C" NOT NULL,
  serial         text COLLATE "C" NOT NULL,
  subject        text COLLATE "C" NOT NULL,
  key_usages     bigint NOT NULL,
  ext_key_usages text COLLATE "C" NOT NULL,
  not_before        bigint NOT NULL,
  not_before_offset bigint NOT NULL,
  device_id text COLLATE "C" NOT NULL,
  policy_id text COLLATE "C" NOT NULL,
  user_id   text COLLATE "C" NOT NULL,
  thumbprint_sha256 text COLLATE "C" NOT NULL,
  source    text COLLATE "C" NOT NULL,
  created         bigint NOT NULL,
  created_offset  bigint NOT NULL,
  modified        bigint NOT NULL,
  modified_offset bigint NOT NULL,
  thumbprint_hex        text COLLATE "C" NOT NULL,
  serial_hex            text COLLATE "C" NOT NULL,
  serial_dec            text COLLATE "C" NOT NULL,
  thumbprint_sha256_hex text COLLATE "C" NOT NULL,
  words                 text COLLATE "C" NOT NULL,
  PRIMARY KEY (part, k),
  UNIQUE (part, id)
) /*PARTITION BY HASH (part)*/;

CREATE TABLE past (
  k      bigint NOT NULL,
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  ver    bigint NOT NULL,
  absent bigint NOT NULL,
  id     text COLLATE "C" NOT NULL,
  revoke_status                bigint NOT NULL,
  revoke_status_changed        bigint NOT NULL,
  revoke_status_changed_offset bigint NOT NULL,
  device_name    text COLLATE "C" NOT NULL,
  upn            text COLLATE "C" NOT NULL,
  not_after        bigint NOT NULL,
  not_after_offset bigint NOT NULL,
  issuer         text COLLATE "C" NOT NULL,
  thumbprint     text COLLATE "C" NOT NULL,
  serial         text COLLATE "C" NOT NULL,
  subject        text COLLATE "C" NOT NULL,
  key_usages     bigint NOT NULL,
  ext_key_usages text COLLATE "C" NOT NULL,
  not_before        bigint NOT NULL,
  not_before_offset bigint NOT NULL,
  device_id text COLLATE "C" NOT NULL,
  policy_id text COLLATE "C" NOT NULL,
  user_id   text COLLATE "C" NOT NULL,
  thumbprint_sha256 text COLLATE "C" NOT NULL,
  source    text COLLATE "C" NOT NULL,
  created         bigint NOT NULL,
  created_offset  bigint NOT NULL,
  modified        bigint NOT NULL,
  modified_offset bigint NOT NULL,
  thumbprint_hex        text COLLATE "C" NOT NULL,
  serial_hex            text COLLATE "C" NOT NULL,
  serial_dec            text COLLATE "C" NOT NULL,
  thumbprint_sha256_hex text COLLATE "C" NOT NULL,
  words                 text COLLATE "C" NOT NULL,
  n      bigint NOT NULL,
  PRIMARY KEY (part, n)
) /*PARTITION BY HASH (part)*/;

CREATE TABLE change (
  part   bigint NOT NULL,
  n      bigint NOT NULL,
  tenant bigint NOT NULL,
  id     text COLLATE "C" NOT NULL,
  kind   text COLLATE "C" NOT NULL,
  actor  text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  at     bigint NOT NULL,
  PRIMARY KEY (part, n)
) /*PARTITION BY HASH (part)*/;

CREATE TABLE word (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  word   text COLLATE "C" NOT NULL,
  k      bigint NOT NULL,
  PRIMARY KEY (part, word, k)
) /*PARTITION BY HASH (part)*/;
