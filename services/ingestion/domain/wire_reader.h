#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace yagura::ingestion {

// Walks over the fields of one protobuf message without making anything of them. What is nested
// comes as its bytes, for a reader of its own. Groups count as broken. Not thread-safe.
class WireReader {
 public:
  enum class Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  // The next field. False at the end, and where the bytes are no message.
  bool Next() {
    if (rest_.empty() || broken_) return false;
    uint64_t tag = 0;
    broken_ = !Varint(tag) || tag >> 3 == 0 || tag > UINT32_MAX || !Value(tag & 7);
    field_ = static_cast<uint32_t>(tag >> 3);
    return !broken_;
  }

  bool broken() const { return broken_; }
  uint32_t field() const { return field_; }
  Type type() const { return type_; }
  // Whether it is that field, of that type.
  bool Is(uint32_t field, Type type) const { return field_ == field && type_ == type; }
  std::string_view bytes() const { return bytes_; }  // of kBytes
  uint64_t number() const { return number_; }        // of all others

 private:
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  template <typename Number>
  bool Fixed() {
    Number number = 0;
    if (rest_.size() < sizeof number) return false;
    std::memcpy(&number, rest_.data(), sizeof number);  // little-endian, as this machine
    rest_.remove_prefix(sizeof number);
    number_ = number;
    return true;
  }

  bool Value(uint64_t type) {
    type_ = static_cast<Type>(type);
    switch (type_) {
      case Type::kVarint:
        return Varint(number_);
      case Type::kFixed64:
        return Fixed<uint64_t>();
      case Type::kFixed32:
        return Fixed<uint32_t>();
      case Type::kBytes:
        if (!Varint(number_) || number_ > rest_.size()) return false;
        bytes_ = rest_.substr(0, number_);
        rest_.remove_prefix(number_);
        return true;
    }
    return false;
  }

  std::string_view rest_;
  bool broken_ = false;
  uint32_t field_ = 0;
  Type type_ = Type::kVarint;
  std::string_view bytes_;
  uint64_t number_ = 0;
};

}  // namespace yagura::ingestion
