#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <vector>

namespace yagura::ingestion {

// What parsers remember of one sender (a connection, an address, a file) from line to line: heads
// of tables, which stand once and tell what the columns of all later lines are. Bounded. Not
// thread-safe.
class SenderMemory {
 public:
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
  bool empty() const { return tables_.empty(); }

 private:
  static constexpr size_t kMaxTables = 32;
  std::list<Table> tables_;    // the newest in front
  std::list<Table> building_;  // likewise
};

}  // namespace yagura::ingestion
