-- The provider's own name of the account that a token is for, where it needs that to end the consent.
ALTER TABLE token ADD COLUMN account TEXT NOT NULL DEFAULT '';
