-- The marks that servers leave in the parts they write to, where the tables of
-- records are distributed (part.go).

CREATE TABLE stamp (
  part   bigint NOT NULL,
  no     bigint NOT NULL, -- of the server, as in node
  holder text COLLATE "C" NOT NULL,
  batch  bigint NOT NULL,
  PRIMARY KEY (part, no)
) /*PARTITION BY HASH (part)*/;
