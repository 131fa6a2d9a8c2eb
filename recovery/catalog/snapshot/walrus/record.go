package walrus

import (
	"encoding/binary"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Entries stand in a file by object id, and in our tables by blob id and object
// id. As records they begin with that key and hold what a row needs, so that
// sorting them as bytes gives the tables.
const (
	objectRecord = 64 + 4 + 1 + 4 + 4
	pooledRecord = 64 + 4 + 1 + 4 + 32
)

// Flags of a record.
const (
	recordCertified = 1 << iota
	recordDeletable
	recordDeleted
)

func flagIf(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

func (e *Entry) appendObject(dst []byte) []byte {
	o := &e.Object
	dst = append(append(dst, o.Blob[:]...), e.Key[:]...)
	dst = binary.BigEndian.AppendUint32(dst, o.RegisteredEpoch)
	dst = append(dst, flagIf(o.Certified, recordCertified)|flagIf(o.Deletable, recordDeletable)|flagIf(o.Deleted, recordDeleted))
	dst = binary.BigEndian.AppendUint32(dst, o.CertifiedEpoch)
	return binary.BigEndian.AppendUint32(dst, o.EndEpoch)
}

func (e *Entry) appendPooled(dst []byte) []byte {
	p := &e.Pooled
	dst = append(append(dst, p.Blob[:]...), e.Key[:]...)
	dst = binary.BigEndian.AppendUint32(dst, p.RegisteredEpoch)
	dst = append(dst, flagIf(p.Certified, recordCertified))
	dst = binary.BigEndian.AppendUint32(dst, p.CertifiedEpoch)
	return append(dst, p.Pool[:]...)
}

// setRegistration sets a row from a record; when it was gained is not in it.
func setRegistration(r *snapshot.Registration, record []byte) {
	flags := record[68]
	*r = snapshot.Registration{
		Key: snapshot.Key(record[:64]), RegisteredEpoch: binary.BigEndian.Uint32(record[64:]),
		Certified: flags&recordCertified != 0, CertifiedEpoch: binary.BigEndian.Uint32(record[69:]),
		EndEpoch:  binary.BigEndian.Uint32(record[73:]),
		Deletable: flags&recordDeletable != 0, Deleted: flags&recordDeleted != 0,
	}
}

func setPooled(p *snapshot.Pooled, record []byte) {
	*p = snapshot.Pooled{
		Key: snapshot.Key(record[:64]), RegisteredEpoch: binary.BigEndian.Uint32(record[64:]),
		Certified: record[68]&recordCertified != 0, CertifiedEpoch: binary.BigEndian.Uint32(record[69:]),
		Pool: snapshot.PoolID(record[73:]),
	}
}
