package rest

import (
	"bytes"

	"github.com/go-json-experiment/json"
)

// encode renders an answer; a non-nil awaiting stands beside the answer's members.
func encode(answer any, awaiting []string) ([]byte, error) {
	if answer == nil {
		answer = struct{}{}
	}
	body, err := json.Marshal(answer)
	if err != nil || awaiting == nil {
		return body, err
	}
	names, err := json.Marshal(awaiting)
	if err != nil {
		return nil, err
	}
	body = bytes.TrimSuffix(body, []byte("}"))
	if len(body) > 1 {
		body = append(body, ',')
	}
	body = append(body, `"awaiting":`...)
	return append(append(body, names...), '}'), nil
}
