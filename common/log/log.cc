#include "common/log/log.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/null_sink.h"
#include "spdlog/sinks/rotating_file_sink.h"
#include "spdlog/sinks/stdout_sinks.h"

#include "common/text/text.h"

namespace yagura {
namespace {

constexpr size_t kMaxFileBytes = 64u << 20;
constexpr size_t kMaxFiles = 3;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

std::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      break;
  }
  return "error";
}

}  // namespace

struct Logger::Sink {
  Sink(spdlog::sink_ptr target, LogLevel threshold) : logger("yagura", std::move(target)) {
    logger.set_pattern("%v");
    logger.set_level(ToSpdlog(threshold));
    logger.flush_on(spdlog::level::debug);
  }
  spdlog::logger logger;
};

Logger::Logger(std::shared_ptr<Sink> sink, std::string part)
    : sink_(std::move(sink)), part_(std::move(part)) {}

Logger Logger::ToStderr(LogLevel threshold) {
  return {std::make_shared<Sink>(std::make_shared<spdlog::sinks::stderr_sink_mt>(), threshold), ""};
}

Logger Logger::ToFile(const std::string& path, LogLevel threshold) {
  return {std::make_shared<Sink>(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
                                     path, kMaxFileBytes, kMaxFiles),
                                 threshold),
          ""};
}

Logger Logger::Null() {
  return {std::make_shared<Sink>(std::make_shared<spdlog::sinks::null_sink_mt>(), LogLevel::kError),
          ""};
}

Logger Logger::Named(std::string_view part) const { return {sink_, std::string(part)}; }

void Logger::Debug(std::string_view message, Fields fields) const {
  Write(LogLevel::kDebug, message, fields);
}
void Logger::Info(std::string_view message, Fields fields) const {
  Write(LogLevel::kInfo, message, fields);
}
void Logger::Warning(std::string_view message, Fields fields) const {
  Write(LogLevel::kWarning, message, fields);
}
void Logger::Error(std::string_view message, Fields fields) const {
  Write(LogLevel::kError, message, fields);
}

void Logger::Write(LogLevel level, std::string_view message, Fields fields) const {
  if (!sink_->logger.should_log(ToSpdlog(level))) return;
  std::string line = fmt::format(
      R"({{"time":"{}","level":"{}","part":)",
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()), Name(level));
  line += QuoteJson(part_);
  line += ",\"msg\":";
  line += QuoteJson(message);
  for (const auto& field : fields) {
    line += ',';
    line += QuoteJson(field.name);
    line += ':';
    line += QuoteJson(field.value);
  }
  line += '}';
  sink_->logger.log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace yagura
