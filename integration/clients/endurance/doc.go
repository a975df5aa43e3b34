// Package endurance lets three kinds of AWS's clients use one cluster for minutes while its nodes are killed and come back.
//
// The tests are kept behind the build tag long:
//
//	go test -tags long -v -timeout 40m ./endurance
//
// LOCKSTEP_ENDURANCE is how long the clients work, 10m unless set.
package endurance
