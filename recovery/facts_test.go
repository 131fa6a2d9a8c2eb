package recovery

import "testing"

// Whoever is paged reads sizes in a unit that suits them.
func TestRoomSaysSizesForPeople(t *testing.T) {
	for room, want := range map[Room]string{
		{Free: 5, Min: 10}:               "the store's volume has 5 bytes free, fewer than the 10 bytes to be kept",
		{Free: 20_942_848, Min: 1 << 30}: "the store's volume has 20 MiB free, fewer than the 1024 MiB to be kept",
		{Free: 3 << 30, Min: 50 << 30}:   "the store's volume has 3072 MiB free, fewer than the 50 GiB to be kept",
	} {
		if got := room.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
