#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace yagura::ingestion {

// Writes small files in MaxMind's DB format (version 2.0) for tests: IPv6 trees of 24-bit records,
// maps of texts, numbers and maps.
class MmdbWriter {
 public:
  struct Value;
  using Map = std::map<std::string, Value>;
  struct Value {
    Value(const char* text) : is(std::string(text)) {}  // NOLINT(google-explicit-constructor)
    Value(uint32_t number) : is(number) {}              // NOLINT(google-explicit-constructor)
    Value(Map map) : is(std::move(map)) {}              // NOLINT(google-explicit-constructor)
    std::variant<std::string, uint32_t, Map> is;
  };

  // "203.0.113.0/24", "2001:db8::/32"; networks must not overlap.
  void Add(const std::string& network, const Map& facts);
  void Write(const std::filesystem::path& file) const;

 private:
  struct Node {
    // 0: nothing; positive: index of a node; negative: -1 - offset of the facts.
    int64_t next[2] = {0, 0};  // NOLINT(modernize-avoid-c-arrays)
  };
  static void Encode(const Value& value, std::string* out);
  static void Head(int type, size_t size, std::string* out);

  std::vector<Node> nodes_ = {Node{}};
  std::string data_;
};

}  // namespace yagura::ingestion
