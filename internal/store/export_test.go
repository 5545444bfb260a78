package store

import "database/sql"

// Writer gives tests the writing connection.
func (s *Store) Writer() *sql.DB { return s.w }

// NeedRoom sets how much room the disk must have.
func (s *Store) NeedRoom(bytes uint64) { s.minRoom = bytes }
