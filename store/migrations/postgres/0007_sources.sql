-- Live sources, as schema 7 of SQLite has them.

CREATE TABLE source (
  part     bigint NOT NULL,
  tenant   bigint NOT NULL,
  name     text COLLATE "C" NOT NULL,
  kind     text COLLATE "C" NOT NULL,
  settings text COLLATE "C" NOT NULL,
  created  bigint NOT NULL,
  seen      bigint NOT NULL DEFAULT 0,
  watermark bigint NOT NULL DEFAULT 0,
  tried     bigint NOT NULL DEFAULT 0,
  fault     text COLLATE "C" NOT NULL DEFAULT '',
  notified    bigint NOT NULL DEFAULT 0,
  recovered   bigint NOT NULL DEFAULT 0,
  unannounced bigint NOT NULL DEFAULT 0,
  gone        bigint NOT NULL DEFAULT 0,
  holder text COLLATE "C" NOT NULL DEFAULT '',
  until  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (part, name)
) /*PARTITION BY HASH (part)*/;

CREATE TABLE reported (
  part    bigint NOT NULL,
  tenant  bigint NOT NULL,
  source  text COLLATE "C" NOT NULL,
  key     text COLLATE "C" NOT NULL,
  sha256  text COLLATE "C" NOT NULL,
  via     bigint NOT NULL,
  revoked bigint NOT NULL,
  gone    bigint NOT NULL,
  PRIMARY KEY (part, source, key)
) /*PARTITION BY HASH (part)*/;

-- Certificates that a source should have told of and did not.
CREATE TABLE gap (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  source text COLLATE "C" NOT NULL,
  key    text COLLATE "C" NOT NULL,
  found  bigint NOT NULL,
  issued bigint NOT NULL,
  origin text COLLATE "C" NOT NULL,
  PRIMARY KEY (part, source, key)
) /*PARTITION BY HASH (part)*/;
