-- Jobs: what clients ask for over HTTP and come back for (job.go). A piece is a part
-- of a file that is being uploaded, encrypted with the key that its job has as long
-- as the file is needed. A reject is what an import left out.

CREATE TABLE job (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  id     text COLLATE "C" NOT NULL,
  kind   text COLLATE "C" NOT NULL, -- export or import
  actor  text COLLATE "C" NOT NULL,
  made   bigint NOT NULL, -- ticks
  until  bigint NOT NULL, -- ticks, forgotten after that
  asked  text COLLATE "C" NOT NULL, -- JSON
  n      bigint NOT NULL, -- of the last change when the job was made
  status text COLLATE "C" NOT NULL,
  size   bigint NOT NULL, -- of the file in octets, -1 until it is known
  octets bigint NOT NULL, -- of them received
  key    bytea  NOT NULL, -- of the pieces, empty once they are not needed
  holder text COLLATE "C" NOT NULL, -- the server that works on it
  held   bigint NOT NULL, -- until when, milliseconds since 1970 of the database's clock
  fence  bigint NOT NULL, -- how often a server began
  told   text COLLATE "C" NOT NULL,
  PRIMARY KEY (part, id)
) /*PARTITION BY HASH (part)*/;

CREATE TABLE piece (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  job    text COLLATE "C" NOT NULL,
  at     bigint NOT NULL, -- its place in the file, in octets, or -1 for what the job keeps secret
  data   bytea  NOT NULL,
  PRIMARY KEY (part, job, at)
) /*PARTITION BY HASH (part)*/;

CREATE TABLE reject (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  job    text COLLATE "C" NOT NULL,
  no     bigint NOT NULL, -- from 1
  told   text COLLATE "C" NOT NULL,
  PRIMARY KEY (part, job, no)
) /*PARTITION BY HASH (part)*/;
INSERT INTO lease (name, holder, until) VALUES ('jobs', '', 0);
