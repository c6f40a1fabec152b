-- Jobs: what clients ask for over HTTP and come back for (job.go). A piece is a part
-- of a file that is being uploaded, encrypted with the key that its job has as long
-- as the file is needed. A reject is what an import left out.

CREATE TABLE job (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  id     text   NOT NULL,
  kind   text   NOT NULL, -- export or import
  actor  text   NOT NULL,
  made   bigint NOT NULL, -- ticks
  until  bigint NOT NULL, -- ticks, forgotten after that
  asked  text   NOT NULL, -- JSON
  n      bigint NOT NULL, -- of the last change when the job was made
  status text   NOT NULL,
  size   bigint NOT NULL, -- of the file in octets, -1 until it is known
  octets bigint NOT NULL, -- of them received
  key    blob   NOT NULL, -- of the pieces, empty once they are not needed
  holder text   NOT NULL, -- the server that works on it
  held   bigint NOT NULL, -- until when, milliseconds since 1970 of the database's clock
  fence  bigint NOT NULL, -- how often a server began
  told   text   NOT NULL, -- JSON: how far it is
  PRIMARY KEY (part, id)
) WITHOUT ROWID;

CREATE TABLE piece (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  job    text   NOT NULL,
  at     bigint NOT NULL, -- its place in the file, in octets, or -1 for what the job keeps secret
  data   blob   NOT NULL,
  PRIMARY KEY (part, job, at)
);

CREATE TABLE reject (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  job    text   NOT NULL,
  no     bigint NOT NULL, -- from 1
  told   text   NOT NULL, -- JSON
  PRIMARY KEY (part, job, no)
) WITHOUT ROWID;
