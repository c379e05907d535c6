#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"

// One JSON object a line on standard error (or a file):
// {"time":…,"level":…,"part":…,"msg":…,fields}.
namespace yagura {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// A named value of a log line. Text is escaped; never pass a secret.
struct LogField {
  template <typename T>
  LogField(std::string_view field_name, const T& field_value)
      : name(field_name), value(fmt::format("{}", field_value)) {}
  std::string name;
  std::string value;
};

// Thread-safe. Cheap to copy: parts share one sink.
class Logger {
 public:
  using Fields = std::initializer_list<LogField>;

  // Writes to standard error.
  static Logger ToStderr(LogLevel threshold = LogLevel::kInfo);
  // Appends to a file, rotated at 64 MiB, three files kept.
  static Logger ToFile(const std::string& path, LogLevel threshold = LogLevel::kInfo);
  // Drops everything; for tests.
  static Logger Null();

  // The same sink under the name of a part, "archive/writer".
  Logger Named(std::string_view part) const;

  void Debug(std::string_view message, Fields fields = {}) const;
  void Info(std::string_view message, Fields fields = {}) const;
  void Warning(std::string_view message, Fields fields = {}) const;
  void Error(std::string_view message, Fields fields = {}) const;

 private:
  struct Sink;
  Logger(std::shared_ptr<Sink> sink, std::string part);
  void Write(LogLevel level, std::string_view message, Fields fields) const;

  std::shared_ptr<Sink> sink_;
  std::string part_;
};

}  // namespace yagura
