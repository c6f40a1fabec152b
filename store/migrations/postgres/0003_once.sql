-- The requests that were carried out and may be sent again, as schema 4 of SQLite
-- has them.

CREATE TABLE once (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  key    bytea NOT NULL,
  print  bytea NOT NULL,
  id     text COLLATE "C" NOT NULL,
  ver    bigint NOT NULL,
  until  bigint NOT NULL,
  PRIMARY KEY (part, key)
) /*PARTITION BY HASH (part)*/;
INSERT INTO lease (name, holder, until) VALUES ('forget', '', 0);
