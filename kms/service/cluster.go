package service

import (
	"context"
	"regexp"

	"github.com/lockstep-kms/lockstep/kms"
)

func clusterUses(all map[*kms.Operation]*use) {
	all[kms.OpReadMembers] = acting(unchecked[kms.Empty], readMembers)
	all[kms.OpAllowMember] = acting(checkAllowMember, allowMember)
	all[kms.OpRemoveMember] = acting(checkRemoveMember, removeMember)
	all[kms.OpSeal] = acting(checkSeal, sealNodes)
}

func readMembers(ctx context.Context, r *request, _ *kms.Empty) (any, uint64, error) {
	members, err := r.Cluster.Members(ctx)
	if err != nil {
		return nil, 0, err
	}
	return &kms.MembersAnswer{Members: members}, 0, nil
}

// nodeName is what a node may be called.
var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// checkMember refuses what no node is called.
func (r *request) checkMember(name string) error {
	if !nodeName.MatchString(name) {
		return kms.Errorf(kms.CodeValidation, "A node name has 1 to 63 characters of a-z, 0-9, '.' and '-', and begins and ends with a letter or digit.")
	}
	r.note("name", name)
	return nil
}

func checkAllowMember(r *request, q *kms.AllowMemberRequest) error { return r.checkMember(q.Name) }

func allowMember(ctx context.Context, r *request, q *kms.AllowMemberRequest) (any, uint64, error) {
	r.resource(q.Name, typeMember)
	index, err := r.Cluster.AllowMember(ctx, q.Name)
	return &kms.Empty{}, index, err
}

func checkRemoveMember(r *request, q *kms.RemoveMemberRequest) error { return r.checkMember(q.Name) }

func removeMember(ctx context.Context, r *request, q *kms.RemoveMemberRequest) (any, uint64, error) {
	r.resource(q.Name, typeMember)
	index, err := r.Cluster.RemoveMember(ctx, q.Name)
	return &kms.Empty{}, index, err
}

func checkSeal(r *request, q *kms.SealRequest) error {
	r.noteTrue("cluster", q.Cluster)
	return nil
}

func sealNodes(ctx context.Context, r *request, q *kms.SealRequest) (any, uint64, error) {
	answer, err := r.Cluster.Seal(ctx, q.Cluster)
	if err != nil {
		return nil, 0, err
	}
	return &answer, 0, nil
}
