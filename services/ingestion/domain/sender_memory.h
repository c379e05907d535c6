#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace yagura::ingestion {

// What the senders of one thread may make it remember together. Who was heard of longest ago is
// forgotten first. Not thread-safe.
class SenderMemoryBudget;

// What parsers remember of one sender (a connection, an address, a file) from line to line: heads
// of tables, which stand once and tell what the columns of all later lines are. Bounded, by itself
// and by the budget that it draws on, if any. Not thread-safe.
class SenderMemory {
 public:
  SenderMemory();
  ~SenderMemory();
  SenderMemory(SenderMemory&& other) noexcept;
  SenderMemory& operator=(SenderMemory&& other) noexcept;

  // From here on; before anything is remembered.
  void DrawOn(const std::shared_ptr<SenderMemoryBudget>& budget);
  void Clear();

  // Which of a sender's streams: syslog host and program, both empty where lines have no header.
  struct Stream {
    std::string_view host;
    std::string_view program;
  };
  struct Table {
    std::string host;
    std::string program;
    std::string path;  // "conn"
    std::vector<std::string> columns;
    std::vector<std::string> types;  // as many as columns, or none
    char separator = '\t';
    std::string set_separator = ",";
    std::string empty = "(empty)";
    std::string unset = "-";
  };

  // More names, or longer ones all together, are not remembered.
  static constexpr size_t kMaxColumns = 512;
  static constexpr size_t kMaxNameBytes = 16 * 1024;

  // The head that is being read on that stream.
  Table& Building(const Stream& stream);
  // It is complete: replaces an earlier one of its key and path.
  void Finish(const Stream& stream);
  // The newest table of that stream with so many columns; nullptr where there is none.
  const Table* Find(const Stream& stream, size_t columns) const;
  bool empty() const;

 private:
  friend class SenderMemoryBudget;
  struct Content;
  static constexpr size_t kMaxTables = 32;
  Content& Make();

  std::shared_ptr<SenderMemoryBudget> budget_;
  std::unique_ptr<Content> content_;  // null while there is nothing
};

class SenderMemoryBudget {
 public:
  explicit SenderMemoryBudget(size_t bytes) : limit_(bytes) {}
  size_t used_bytes() const { return used_; }

 private:
  friend class SenderMemory;
  // It was used, and has as much as it has now.
  void Note(SenderMemory::Content& content);
  void Touch(SenderMemory::Content& content);
  void Drop(SenderMemory::Content& content);

  const size_t limit_;
  size_t used_ = 0;
  std::list<SenderMemory::Content*> contents_;  // the last heard of in front
};

}  // namespace yagura::ingestion
