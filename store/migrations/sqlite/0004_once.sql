-- The requests that were carried out and may be sent again (repeat.go): what a
-- second one is answered is the version of the record that the first one made.

CREATE TABLE once (
  part   bigint NOT NULL,
  tenant bigint NOT NULL,
  key    blob NOT NULL, -- SHA-256 of who asked, and of the id they gave the request
  print  blob NOT NULL, -- SHA-256 of what they asked
  id     text NOT NULL, -- of the record, empty if it was deleted
  ver    bigint NOT NULL, -- of the record, as it was answered
  until  bigint NOT NULL, -- ticks; forgotten after that
  PRIMARY KEY (part, key)
) WITHOUT ROWID;
