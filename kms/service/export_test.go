package service

// KeepAnswers hands every answer that is made from the view to keep, before it is audited. Tests see so what
// becomes of an answer that does not leave.
func (s *Service) KeepAnswers(keep func(answer any)) {
	for _, u := range s.uses {
		if read := u.read; read != nil {
			u.read = func(r *request) (any, error) {
				answer, err := read(r)
				if err == nil {
					keep(answer)
				}
				return answer, err
			}
		}
	}
}

// WipeAnswer is wipeAnswer.
var WipeAnswer = wipeAnswer

// HeavyWork is what bounds who makes RSA keys.
type HeavyWork = heavyWork

// The bounds of HeavyWork and how to ask it.
const (
	HeavyAll     = heavyAll
	HeavyAccount = heavyAccount
)

var NewHeavyWork = newHeavyWork

func (h *heavyWork) Enter(account string) bool { return h.enter(account) }
func (h *heavyWork) Leave(account string)      { h.leave(account) }
