-- A digest of each row, by which "certstate check" finds a value that the disk
-- changed, as the newest schema of SQLite has it. 0 is none.

ALTER TABLE state  ADD COLUMN digest bigint NOT NULL DEFAULT 0;
ALTER TABLE past   ADD COLUMN digest bigint NOT NULL DEFAULT 0;
ALTER TABLE change ADD COLUMN digest bigint NOT NULL DEFAULT 0;
ALTER TABLE seq    ADD COLUMN digest bigint NOT NULL DEFAULT 0;
