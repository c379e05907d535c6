#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

// Bytes of the batch format; private to common/event.
//
//   envelope  "YGB1", compression u8, a zero byte, events (u16 little-endian, as in section A; a
//             hint for who needs no more), plain and stored size of section A and of section B
//             (4 x u32 little-endian), hash of all bytes but itself (u64), section A, section B
//   section A varint events; text tenant, batch id; zigzag receive time (ns)
//             varint core columns, each: u8 Core, varint length
//             varint field columns, each: text name, varint occurrence, varint length
//             varint length of the shapes; then the columns and the shapes in that order
//   column    varint distinct; their lengths (varints) and bytes, or numbers as varints (times
//             zigzag); rows
//   shapes    a text column whose values are lists of u16 field columns: the order of an event's
//             fields
//   rows      u8 mode, see RowMode
//   section B varint length of each raw line; their bytes
//
// A text is a varint length and its bytes.
namespace yagura::event {

inline constexpr std::string_view kBatchMagic = "YGB1";
inline constexpr size_t kEnvelopeSize = 32;
inline constexpr size_t kEventsOffset = 6;
inline constexpr size_t kHashOffset = 24;
// What a reader opens. The builder is full far below it, and cuts (TRUNCATED) what one event may
// add: its raw line, and all its names and values together, each byte of which may become three
// where it is no UTF-8.
inline constexpr size_t kMaxSectionBytes = 64u << 20;
inline constexpr size_t kMaxEventRawBytes = 16u << 20;
inline constexpr size_t kMaxEventValueBytes = 8u << 20;
inline constexpr size_t kMaxFieldColumns = 8192;
inline constexpr size_t kMaxCells = 64u << 20;  // events x columns: what decoding may cost

enum class RowMode : uint8_t {
  kConstant = 0,  // every event has value 1
  kIdentity = 1,  // event i has value i + 1
  kBytes = 2,     // one byte an event
  kWords = 3,     // two bytes an event, little-endian
  kSparse = 4,  // varint count; each: varint distance from the row after the last one, varint value
};

inline void PutVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}
inline uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}
inline void PutText(std::string& out, std::string_view text) {
  PutVarint(out, text.size());
  out += text;
}

// Reads from the front of a view; false, and nothing else, where it ends too early.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) return false;
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool Byte(uint8_t& value) {
    if (bytes_.empty()) return false;
    value = static_cast<uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return true;
  }
  bool Bytes(uint64_t size, std::string_view& value) {
    if (size > bytes_.size()) return false;
    value = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  bool Text(std::string_view& value) {
    uint64_t size = 0;
    return Varint(size) && Bytes(size, value);
  }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

inline uint64_t Load64(const char* data) {
  uint64_t value;
  std::memcpy(&value, data, sizeof value);
  return value;
}
inline uint64_t Load32(const char* data) {
  uint32_t value;
  std::memcpy(&value, data, sizeof value);
  return value;
}
inline uint64_t MixHash(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// A fast keyed hash in the manner of wyhash. Not cryptographic: the seed keeps senders from
// choosing colliding values.
inline uint64_t HashBytes(std::string_view text, uint64_t seed) {
  constexpr uint64_t kA = 0xa0761d6478bd642full;
  constexpr uint64_t kB = 0xe7037ed1a0b428dbull;
  const char* data = text.data();
  size_t left = text.size();
  uint64_t state = seed ^ MixHash(seed ^ kA, text.size() ^ kB);
  while (left > 16) {
    state = MixHash(Load64(data) ^ kA, Load64(data + 8) ^ state);
    data += 16;
    left -= 16;
  }
  uint64_t low = 0;
  uint64_t high = 0;
  if (left >= 8) {
    low = Load64(data);
    high = Load64(data + left - 8);
  } else if (left >= 4) {
    low = Load32(data);
    high = Load32(data + left - 4);
  } else if (left > 0) {
    low = static_cast<uint64_t>(static_cast<uint8_t>(data[0])) << 16 |
          static_cast<uint64_t>(static_cast<uint8_t>(data[left / 2])) << 8 |
          static_cast<uint8_t>(data[left - 1]);
  }
  return MixHash(kB ^ text.size(), MixHash(low ^ kB, high ^ state));
}

// The hash that the envelope of `batch` must hold.
inline uint64_t HashOfBatch(std::string_view batch) {
  return HashBytes(batch.substr(kEnvelopeSize), HashBytes(batch.substr(0, kHashOffset), 0));
}

}  // namespace yagura::event
