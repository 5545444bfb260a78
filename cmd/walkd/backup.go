package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/engine"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a whole copy of the store to FILE, also while the daemon runs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s, err := a.load()
			if err != nil {
				return err
			}
			r, err := a.openReader(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			if err := r.Backup(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "backed up to %s: keep it private, put it back as walkd.db\n", args[0])
			return nil
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "What this walkd was built from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, revision, goVersion := engine.Build()
			_, err := fmt.Fprintf(a.stdout, "walkd %s (revision %s, %s)\n", version, revision, goVersion)
			return err
		},
	}
}
