#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// ClickHouse's Native format for inserts: one block, column after column. The store takes it
// several times quicker than rows, as it need not take them apart, and a value that repeats is sent
// and looked up once.
namespace yagura::eventstore {

// Before the columns, and before each column.
void AppendBlockHead(size_t columns, size_t rows, std::string* out);
void AppendColumnHead(std::string_view name, std::string_view type, std::string* out);

// One value of a column of type String.
void AppendText(std::string_view text, std::string* out);

// One value of a column of fixed width: numbers, times, addresses, the offsets of an Array.
template <typename Number>
void AppendFixed(Number value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// A column of type LowCardinality(String), or what of that type is within an Array or a Map. Not
// thread-safe.
class DictionaryColumn {
 public:
  using Key = uint32_t;
  static constexpr Key kEmpty = 0;  // of the empty text

  DictionaryColumn();
  Key Intern(std::string_view text);
  void Add(Key key) { rows_.push_back(key); }
  void Add(size_t count, Key key) { rows_.insert(rows_.end(), count, key); }
  size_t rows() const { return rows_.size(); }

  // What comes before the data, also before the offsets of the Array or Map around it.
  static void AppendPrefix(std::string* out);
  void AppendData(std::string* out) const;

 private:
  std::string_view TextOf(Key key) const;
  void Grow();
  template <typename Number>
  void AppendRows(std::string* out) const;

  std::string heap_;          // the texts one behind the other
  std::vector<size_t> ends_;  // in heap_, by key
  std::vector<size_t> hashes_;
  std::vector<Key> slots_;  // a power of two; kEmpty is free
  std::vector<Key> rows_;
};

}  // namespace yagura::eventstore
