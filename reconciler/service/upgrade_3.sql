-- Version 2 of the database to version 3: see schema.sql for what the columns mean.
ALTER TABLE job ADD COLUMN engine TEXT CHECK (state = 'Success' OR engine IS NULL);
ALTER TABLE job ADD COLUMN notes TEXT CHECK (state = 'Success' OR notes IS NULL);
