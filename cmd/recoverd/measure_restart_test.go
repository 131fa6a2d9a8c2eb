package main

import "testing"

func (m *measurement) restart(t *testing.T) { t.Skip("to do") }
