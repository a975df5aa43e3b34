package keycmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) rotation() *cobra.Command {
	return cli.Group("rotation", "Rotate a key automatically, and list its rotations",
		"Rotation gives a symmetric key new material; older ciphertexts stay readable. 'lockstep key rotate' does it at once.\n\n"+cli.KeyHelp,
		a.rotationEnable(), a.rotationDisable(), a.rotationStatus(), a.rotationList())
}

func describeRotation(w io.Writer, s *kms.KeyRotationStatusAnswer) {
	cli.Pairs(w, "KEY ARN", s.KeyID, "AUTOMATIC", s.KeyRotationEnabled)
	cli.Given(w, "PERIOD", days(s.RotationPeriodInDays), "NEXT", s.NextRotationDate)
	cli.Row(w, "ON DEMAND", s.OnDemandRotations)
}

func (a commands) rotationEnable() *cobra.Command {
	var period int
	cmd := &cobra.Command{
		Use: "enable KEY", Short: "Turn automatic rotation on", Args: cli.Exactly("KEY"),
		Example: "  lockstep key rotation enable alias/app\n  lockstep key rotation enable alias/app --period 90",
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &kms.EnableKeyRotationRequest{KeyID: args[0]}
			if cmd.Flags().Changed("period") {
				r.RotationPeriodInDays = &period
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).EnableKeyRotation, r, describeRotation)
		},
	}
	cmd.Flags().IntVar(&period, "period", 0, "days between two rotations, 90 to 2560 (default: as before, or 365)")
	return cli.Calls(a.WriteFlags(cmd), "EnableKeyRotation")
}

func (a commands) rotationDisable() *cobra.Command {
	cmd := &cobra.Command{
		Use: "disable KEY", Short: "Turn automatic rotation off", Args: cli.Exactly("KEY"),
		Example: "  lockstep key rotation disable alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).DisableKeyRotation, &kms.KeyRequest{KeyID: args[0]}, describeRotation)
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "DisableKeyRotation")
}

func (a commands) rotationStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status KEY", Short: "Say how a key is rotated", Args: cli.Exactly("KEY"),
		Example: "  lockstep key rotation status alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).GetKeyRotationStatus, &kms.KeyRequest{KeyID: args[0]}, describeRotation)
		},
	}
	return cli.Calls(cmd, "GetKeyRotationStatus")
}

func (a commands) rotationList() *cobra.Command {
	var r kms.ListKeyRotationsRequest
	var all bool
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list KEY", Short: "List a key's rotations", Args: cli.Exactly("KEY"),
		Example: "  lockstep key rotation list alias/app\n  lockstep key rotation list alias/app --all-material -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			if all {
				r.IncludeKeyMaterial = "ALL_KEY_MATERIAL"
			}
			return cli.List(cmd.Context(), a.App, (*client.Client).ListKeyRotations, &r, page,
				func(all *kms.ListKeyRotationsAnswer) (*[]kms.RotationEntry, *string) {
					return &all.Rotations, &all.NextMarker
				},
				func(w io.Writer, rotations []kms.RotationEntry) {
					cli.Row(w, "MATERIAL", "STATE", "ROTATED", "TYPE", "IMPORT", "EXPIRES", "DESCRIPTION")
					for _, e := range rotations {
						cli.Row(w, e.KeyMaterialID, e.KeyMaterialState, e.RotationDate, e.RotationType, e.ImportState, e.ValidTo, e.KeyMaterialDescription)
					}
				})
		},
	}
	cmd.Flags().BoolVar(&all, "all-material", false, "list every material, also the first one and what waits for a rotation")
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListKeyRotations")
}
