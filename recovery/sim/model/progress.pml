/* What a worker remembers, and what its disk may claim of it: cursor, scan
 * position, unsettled list, crashes, and the fence (DESIGN 3: I1, I2, I3, I6).
 *
 * One process takes one step at a time, in any order that the rules allow; after
 * every step the claims are checked, those in memory and those that a restart
 * would find. N blobs are looked at in order, SLOTS of them at once, while fewer than
 * UNSETTLED are listed. The network
 * has two ownerships, A and B (fence), which alternate up to MOVES times; what the
 * node has stored for one is gone once a run of the other has begun. There are up
 * to CRASHES crashes, each a kill (the page cache stays) or a power cut, one of
 * which may damage the database.
 *
 * Each PLANT_... leaves one rule out, and must be refuted.
 */
#ifndef N
#define N 4
#endif
#ifndef CRASHES
#define CRASHES 3
#endif
#ifndef MOVES
#define MOVES 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef UNSETTLED
#define UNSETTLED N
#endif

#define BIT(i)   (1 << (i))
#define BELOW(n) ((1 << (n)) - 1)
#define IN(set, i) (((set) >> (i)) & 1)

#define COUNT(set) (IN(set, 0) + IN(set, 1) + IN(set, 2) + IN(set, 3) + IN(set, 4) + IN(set, 5) + IN(set, 6))

#define LISTED (stored | cached) /* what a listing of the store shows */

typedef Record {
	bool ok;     /* it can be read */
	byte number;
	bit  fence;
	byte scan;   /* ids below it were looked at */
	byte cursor; /* ids below it are settled */
	byte list;   /* unsettled ids, a bit each */
}

Record disk[2];      /* 0: the database, 1: its mirror */
byte cached, stored; /* final names in the page cache; and on the disk */
bit  fence, owner;   /* the ownership; and whose pieces are stored */
byte crashes, moves, damages;

/* the process */
bool up, begun;
byte number, scan, list, flying, sealed, ghosts;
bit  mine;
byte slots;
byte last;           /* planted: the last id that finished, plus one */
Record pending;
byte stage;          /* copies of pending that are yet to be written */
bit  next;           /* the copy that is written next */

byte i, best;

inline lowest(set, at) {
	at = 0;
	do
	:: at < N && !IN(set, at) -> at++
	:: else -> break
	od
}

inline cursorOf(at) {
	lowest(list, at);
	if
	:: at > scan -> at = scan
	:: else
	fi
#ifdef PLANT_LAST_FINISHER_WINS
	if
	:: last > 0 -> at = last
	:: else
	fi
#endif
}

/* what one copy claims must be true if a restart would believe it */
inline checkCopy(c) {
	if
	:: disk[c].ok && disk[c].number == best && disk[c].fence == fence && disk[c].fence == owner ->
		assert((BELOW(disk[c].scan) & ~disk[c].list & ~stored) == 0); /* I3 */
		assert((BELOW(disk[c].cursor) & ~stored) == 0);               /* I1 */
		assert((BELOW(disk[c].cursor) & disk[c].list) == 0)           /* I2 */
	:: else
	fi
}

inline highest() {
	best = 0;
	if :: disk[0].ok -> best = disk[0].number :: else fi;
	if :: disk[1].ok && disk[1].number > best -> best = disk[1].number :: else fi
}

inline check() {
	highest();
	checkCopy(0);
	checkCopy(1);
	if
	:: up && begun -> /* I3 in memory; and nothing is under way that is not listed */
		assert((BELOW(scan) & ~list & ~stored) == 0);
		assert(((flying | sealed) & ~list) == 0);
		assert(mine == owner)                                         /* I6 */
	:: else
	fi;
	i = 0; best = 0
}

inline begin() { /* everything durable; the first effects may follow */
	begun = true;
	if
	:: owner != mine -> owner = mine; stored = 0; cached = 0
	:: else
	fi;
#ifndef PLANT_NO_FLUSH_ON_OPENING
	stored = stored | cached
#endif
}

inline offer(first, n) {
	pending.ok = true; pending.number = number; pending.fence = mine;
	pending.scan = scan; pending.list = list;
	cursorOf(i); pending.cursor = i;
	stage = n; next = first
}

inline forgetPending() {
	pending.ok = false; pending.number = 0; pending.fence = 0; pending.scan = 0; pending.cursor = 0; pending.list = 0;
	next = 0
}

inline write() {
	disk[next].ok = true; disk[next].number = pending.number; disk[next].fence = pending.fence;
	disk[next].scan = pending.scan; disk[next].cursor = pending.cursor; disk[next].list = pending.list;
	next = 1 - next;
	stage--;
	if
	:: stage == 0 -> forgetPending(); if :: !begun -> begin() :: else fi
	:: else
	fi
}

inline resume(c) {
	number = disk[c].number; scan = disk[c].scan; list = disk[c].list; mine = fence;
	begin()
}

inline fresh() { /* what claims less goes to the mirror first */
	number = best + 1; scan = 0; list = 0; mine = fence; begun = false;
#ifdef PLANT_MIRROR_LAST
	offer(0, 2);
	begin()
#else
	offer(1, 2)
#endif
}

inline forget() {
	flying = 0; sealed = 0; scan = 0; list = 0; number = 0; stage = 0; begun = false; last = 0; mine = 0; slots = 0;
	forgetPending()
}

/* which copies are believed: of the highest run only (I6) */
#ifdef PLANT_FENCE_OFF
#define USABLE(c) (disk[c].ok && disk[c].number == best)
#else
#define USABLE(c) (disk[c].ok && disk[c].number == best && disk[c].fence == fence)
#endif

active proctype worker() {
	do
	:: atomic { !up -> /* load */
		up = true;
		highest();
		if
		:: USABLE(0) -> resume(0)
		:: USABLE(1) -> resume(1)
		:: !USABLE(0) && !USABLE(1) -> fresh()
		fi;
		check() }

	:: atomic { up && begun && scan < N && (IN(LISTED, scan) || slots < SLOTS && COUNT(list) < UNSETTLED) -> /* look at the next id */
		if
		:: IN(LISTED, scan)
		:: else -> list = list | BIT(scan); flying = flying | BIT(scan); slots++
		fi;
		scan++;
		check() }

	:: atomic { up && flying != 0 -> /* a sync ends: its bytes have their name, or it is cancelled */
		select(i : 0 .. N - 1);
		if
		:: IN(flying, i) ->
			flying = flying & ~BIT(i); slots--;
			if
			:: cached = cached | BIT(i);
#ifdef PLANT_DATA_AFTER_CURSOR
				list = list & ~BIT(i)
#else
				sealed = sealed | BIT(i)
#endif
			:: true
#ifdef PLANT_SKIPPED_THEN_SAVED
				; list = list & ~BIT(i)
#endif
			fi
		:: else
		fi;
		check() }

	:: atomic { up && sealed != 0 -> /* the barrier: one flush, then Success for the whole group */
		stored = stored | cached;
		list = list & ~sealed;
#ifdef PLANT_LAST_FINISHER_WINS
		lowest(sealed, i); last = i + 1;
#endif
		sealed = 0;
		check() }

	:: atomic { up && begun && slots < SLOTS && (list & ~flying & ~sealed) != 0 -> /* a retry */
		select(i : 0 .. N - 1);
		if
		:: IN(list & ~flying & ~sealed, i) -> flying = flying | BIT(i); slots++
		:: else
		fi;
		check() }

	:: atomic { up && begun && stage == 0 -> offer(0, 2); check() }  /* what claims more: the database first */
	:: atomic { up && stage > 0 -> write(); check() }

#ifdef PLANT_STALE_ANSWER
	:: atomic { ghosts != 0 -> /* an answer to a run that is over; without the fault it is dropped, and changes nothing */
		lowest(ghosts, i);
		ghosts = ghosts & ~BIT(i);
		list = list & ~BIT(i);
		flying = flying & ~BIT(i); sealed = sealed & ~BIT(i);
		check() }
#endif

	:: atomic { moves < MOVES -> /* the ownership changes; what is under way is cancelled, its answers are late */
		moves++; fence = 1 - fence;
		if
		:: up ->
#ifdef PLANT_STALE_ANSWER
			ghosts = flying;
#endif
			forget(); up = false
		:: else
		fi;
		check() }

	:: atomic { up && crashes < CRASHES ->
		crashes++;
		forget(); up = false; ghosts = 0;
		if
		:: true               /* a kill */
		:: cached = stored    /* a power cut */
		fi;
		if
		:: true
		:: damages == 0 && disk[1].ok -> damages++; disk[0].ok = false
		fi;
		check() }

	:: atomic { up && begun && scan == N && list == 0 && stage == 0 ->
		assert((BELOW(N) & ~stored) == 0); /* complete */
		break }
	od
}
