#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Message;
}

// Protobuf messages as text for people and for scripts.
namespace yagura::cli {

enum class Format { kTable, kJson, kJsonLines };

// A column of a table: its heading and where the value is ("src.ip", "create_time").
struct TableColumn {
  std::string heading;
  std::string path;
  size_t max_width = 60;  // in characters; longer values end in "…"
  // Makes the value of the row's message, where a path does not lead to it.
  std::function<std::string(const google::protobuf::Message&)> text = {};
};

// One value as a table shows it: control characters made visible, times without fractions, the
// value of "fields.NAME" from an event's original fields; empty where unset (a port of 0 is).
std::string Cell(const google::protobuf::Message& message, std::string_view path);

// All fields that are set, a line each. A text of several lines (a diff, a configuration) is a
// block below its name, tabs expanded and indented, also inside of an inner message.
std::string MessageToText(const google::protobuf::Message& message);

// Collects rows and writes them to a string in one of the formats.
class Renderer {
 public:
  Renderer(Format format, std::vector<TableColumn> columns)
      : format_(format), columns_(std::move(columns)) {}
  void Add(const google::protobuf::Message& message);
  // What has been collected since the last Flush: JSON lines come out at once, a table in blocks
  // whose widths fit the block; JSON only in Finish.
  std::string Flush();
  // The rest, with "(none)" for an empty table.
  std::string Finish();
  size_t rows() const { return rows_; }

 private:
  std::string Table();

  Format format_;
  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> cells_;
  std::string pending_;
  size_t rows_ = 0;
  bool heading_written_ = false;
};

}  // namespace yagura::cli
