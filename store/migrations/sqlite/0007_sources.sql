-- Live sources (source.go): systems that report certificates, and what each of
-- them reports.

CREATE TABLE source (
  part     bigint NOT NULL,
  tenant   bigint NOT NULL,
  name     text   NOT NULL,
  kind     text   NOT NULL,
  settings text   NOT NULL, -- JSON as the kind has it, which may hold secrets
  created  bigint NOT NULL, -- ticks, as all times here but until
  seen      bigint NOT NULL DEFAULT 0, -- when it last told anything, 0: never
  watermark bigint NOT NULL DEFAULT 0, -- all that it had by then is known here
  tried     bigint NOT NULL DEFAULT 0, -- when it was last read, or tried to be
  fault     text   NOT NULL DEFAULT '', -- why that failed, empty: it did not
  notified    bigint NOT NULL DEFAULT 0, -- certificates that it told of by itself
  recovered   bigint NOT NULL DEFAULT 0, -- rows of gap
  unannounced bigint NOT NULL DEFAULT 0, -- certificates that were read, and that it tells nobody of
  gone        bigint NOT NULL DEFAULT 0, -- rows of reported that are
  holder text   NOT NULL DEFAULT '', -- who reads it
  until  bigint NOT NULL DEFAULT 0,  -- milliseconds since 1970, of the database's clock
  PRIMARY KEY (part, name)
) WITHOUT ROWID;

CREATE TABLE reported (
  part    bigint NOT NULL,
  tenant  bigint NOT NULL,
  source  text   NOT NULL,
  key     text   NOT NULL, -- the source's own name for the certificate
  sha256  text   NOT NULL, -- of the certificate, empty: no record was made of it
  via     bigint NOT NULL, -- how it came to be known: store.Via
  revoked bigint NOT NULL, -- 1: the source says so, and the register has taken it
  gone    bigint NOT NULL, -- when it was last reported, 0: it is
  PRIMARY KEY (part, source, key)
) WITHOUT ROWID;

-- Certificates that a source should have told of and did not.
CREATE TABLE gap (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  source text   NOT NULL,
  key    text   NOT NULL,
  found  bigint NOT NULL, -- when it was read
  issued bigint NOT NULL, -- when it begins to be valid, as it says
  origin text   NOT NULL, -- what issued it, in the source's words
  PRIMARY KEY (part, source, key)
) WITHOUT ROWID;
