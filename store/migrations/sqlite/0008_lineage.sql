-- Lineage: which record's certificate renews which. lineage is the number that the
-- records of a lineage share, 0 for a record without one, -1 for a record that is yet
-- to get its links; revisit is when the register is to look at a record by itself, in
-- ticks, 0 for never.

ALTER TABLE state ADD COLUMN supersedes    text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN superseded_by text   NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN lineage       bigint NOT NULL DEFAULT -1;
ALTER TABLE state ADD COLUMN revisit       bigint NOT NULL DEFAULT 0;
UPDATE state SET absent = absent | 6442450944, digest = 0; -- 2^31 and 2^32; rows changed so have no digest

ALTER TABLE past ADD COLUMN supersedes    text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN superseded_by text   NOT NULL DEFAULT '';
ALTER TABLE past ADD COLUMN lineage       bigint NOT NULL DEFAULT -1;
ALTER TABLE past ADD COLUMN revisit       bigint NOT NULL DEFAULT 0;
UPDATE past SET absent = absent | 6442450944, digest = 0;

-- What records are looked at by: those of an older release are yet to be.
INSERT INTO counter (name, n) SELECT 'renewal threshold', 20 WHERE NOT EXISTS (SELECT 1 FROM state);
