package store

import "database/sql"

// Writer gives tests the writing connection.
func (s *Store) Writer() *sql.DB { return s.w }
