#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "cli/send/line_source.h"

namespace yagura::cli {

// The events of files as texts of one line each. A file that begins with a JSON object that goes on
// in the next line, or with an array of objects, is a text of JSON: each of its objects is an
// event, however it is written. Any other file has an event a line. What began like JSON and is
// none is given line by line.
class EventTexts {
 public:
  explicit EventTexts(LineSource lines) : lines_(std::move(lines)) {}

  // The next event; false at the end. `bytes`: of the files read since the last call.
  bool Next(std::string& text, size_t& bytes);
  const absl::Status& status() const { return lines_.status(); }
  uint64_t total_bytes() const { return lines_.total_bytes(); }

 private:
  // Where the text of JSON stands.
  struct Place {
    bool in_array = false;
    bool in_string = false;
    bool escaped = false;
    int depth = 0;  // of brackets of the object
  };

  bool ReadLine(size_t& bytes);
  bool BeginsJson(std::string_view line) const;
  void TakeJson(std::string_view line);
  bool EndObject();
  void GiveUpJson();

  LineSource lines_;
  std::string line_;
  bool has_line_ = false;  // `line_` is of the next file
  size_t file_ = 0;
  bool is_json_ = false;
  Place place_;
  std::string object_;              // so far
  std::vector<std::string> begun_;  // the lines of it
  std::deque<std::string> ready_;
};

}  // namespace yagura::cli
