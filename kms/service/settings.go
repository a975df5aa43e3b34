package service

import (
	"errors"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

func settingUses(all map[*kms.Operation]*use) {
	all[kms.OpGetSetting] = reading(checkSetting, getSetting)
	all[kms.OpPutSetting] = changing(checkPutSetting, putSetting, replaySetting)
}

func checkSettingName(name string) error {
	if name != kms.SettingRevocationBound {
		return kms.Errorf(kms.CodeNotFound, "There is no setting %s; there is %s.", kms.Printable(name), kms.SettingRevocationBound)
	}
	return nil
}

func checkSetting(r *request, q *kms.SettingRequest) error {
	if err := checkSettingName(q.Name); err != nil {
		return err
	}
	r.note("name", q.Name)
	return nil
}

func getSetting(r *request, q *kms.SettingRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	s, err := r.view.Setting(q.Name)
	if errors.Is(err, catalog.ErrNotFound) {
		return &kms.SettingAnswer{Name: q.Name, Value: kms.ShortDuration(kms.DefaultRevocationBound)}, nil
	}
	if err != nil {
		return nil, err
	}
	return &kms.SettingAnswer{Name: s.Name, Value: s.Value}, nil
}

func checkPutSetting(r *request, q *kms.PutSettingRequest) error {
	if err := checkSettingName(q.Name); err != nil {
		return err
	}
	if _, err := kms.ParseRevocationBound(q.Value); err != nil {
		return err
	}
	r.note("name", q.Name)
	r.note("value", q.Value)
	return nil
}

// putSetting writes a setting. One that cannot be read may be written all the same: that mends it.
func putSetting(r *request, q *kms.PutSettingRequest) (*change, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	d, err := kms.ParseRevocationBound(q.Value)
	if err != nil {
		return nil, err
	}
	ref := r.view.IDs().Setting(q.Name)
	c := &change{event: "setting.changed"}
	switch old, err := r.view.Setting(q.Name); {
	case err == nil:
		c.guards = []fsm.Guard{{Kind: ref.Kind, ID: ref.ID, Revision: old.Revision}}
	case errors.Is(err, catalog.ErrNotFound):
		c.guards = []fsm.Guard{catalog.Absent(ref)}
	}
	now := max(r.Replica.LogNow(), r.view.LogTime())
	s := &kms.Setting{Schema: 1, Name: q.Name, Value: kms.ShortDuration(d),
		Longest: kms.ShortDuration(r.view.LongestRevocationBound(now)), Changed: now}
	c.answer = &kms.SettingAnswer{Name: s.Name, Value: s.Value}
	return c, c.put(r, ref, s)
}

func replaySetting(r *request, rs *records) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	s, err := record[kms.Setting](rs, fsm.KindSetting)
	if err != nil {
		return nil, err
	}
	return &kms.SettingAnswer{Name: s.Name, Value: s.Value}, nil
}
