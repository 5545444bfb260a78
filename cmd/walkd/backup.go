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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want one FILE to write to")
			}
			return nil
		},
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
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, versionText())
			return err
		},
	}
}

func versionText() string {
	version, revision, goVersion := engine.Build()
	return fmt.Sprintf("walkd %s (revision %s, %s)", version, revision, goVersion)
}
