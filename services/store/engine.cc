#include "services/store/engine.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/exception.h"
#include "common/status/status.h"
#include "services/store/statement_text.h"

namespace yagura::storeserver {
namespace {

constexpr int kBadArguments = 36;
constexpr int kSyntaxError = 62;
constexpr int kUnknownSetting = 115;
constexpr std::string_view kNotStreamable = "Streaming query is not supported";

Exception Make(int code, std::string_view name, std::string_view text) {
  return {code, fmt::format("Code: {}. DB::Exception: {}. ({})", code, text, name)};
}

Exception FromText(const char* text) {
  if (text == nullptr) return {};
  return {eventstore::ExceptionCode(text), text};
}

bool IsSettingName(std::string_view name) {
  return !name.empty() && name.size() <= 128 && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
         });
}

// As an SQL literal: quotes and backslashes escaped, and NUL, at which a C string would end.
std::string Quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    if (c == '\0') {
      out += "\\0";
    } else {
      out += c;
    }
  }
  return out + '\'';
}

struct ResultGuard {
  const Chdb& chdb;
  ChdbResult* result;
  ~ResultGuard() {
    if (result != nullptr) chdb.destroy_query_result(result);
  }
};

struct InsertGuard {
  const Chdb& chdb;
  ChdbInsertStream stream;
  ~InsertGuard() {
    if (stream != nullptr) chdb.destroy_insert_stream(stream);
  }
};

ChdbConnection* Connect(const Chdb& chdb, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "clickhouse");
  std::vector<char*> argv;
  argv.reserve(arguments.size());
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return chdb.connect(static_cast<int>(argv.size()), argv.data());
}

}  // namespace

// Parameters in the shape that libchdb wants; borrows from the statement.
class Session::Parameters {
 public:
  explicit Parameters(const std::map<std::string, std::string>& parameters) {
    for (const auto& [name, value] : parameters) {
      names.push_back(name.data());
      name_sizes.push_back(name.size());
      values.push_back(value.data());
      value_sizes.push_back(value.size());
    }
  }
  std::vector<const char*> names;
  std::vector<size_t> name_sizes;
  std::vector<const char*> values;
  std::vector<size_t> value_sizes;
};

Engine::Engine(const Chdb& chdb, Options options, int lock)
    : chdb_(chdb), options_(std::move(options)), lock_(lock) {}

StatusOr<std::unique_ptr<Engine>> Engine::Open(const Chdb& chdb, const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.data_dir, error);
  const std::filesystem::path lock_file = options.data_dir / "yagura-store.lock";
  const int lock = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) {
    return Unavailable("STORE_FOLDER",
                       fmt::format("cannot write to {}", options.data_dir.string()));
  }
  std::unique_ptr<Engine> engine(new Engine(chdb, options, lock));
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return Unavailable("STORE_IN_USE", fmt::format("{} is in use by another yagura-store",
                                                   options.data_dir.string()));
  }
  chdb.set_signal_handlers_enabled(0);
  std::vector<std::string> arguments = {
      fmt::format("--path={}", options.data_dir.string()),
      fmt::format("--max_server_memory_usage={}", options.memory_limit_bytes),
      fmt::format("--mark_cache_size={}", options.mark_cache_bytes)};
  if (!options.config_file.empty()) {
    arguments.push_back(fmt::format("--config-file={}", options.config_file));
  }
  engine->connection_ = Connect(chdb, std::move(arguments));
  if (engine->connection_ == nullptr) {
    return Unavailable("STORE_FOLDER",
                       fmt::format("libchdb cannot open {}", options.data_dir.string()));
  }
  return engine;
}

Engine::~Engine() {
  if (connection_ != nullptr) {
    chdb_.close_conn(connection_);
    chdb_.shutdown();
  }
  if (lock_ >= 0) close(lock_);
}

StatusOr<std::unique_ptr<Session>> Engine::NewSession() const {
  ChdbConnection* connection =
      Connect(chdb_, {fmt::format("--path={}", options_.data_dir.string())});
  if (connection == nullptr) return Unavailable("STORE_FOLDER", "libchdb gives no connection");
  auto session = std::make_unique<Session>(chdb_, connection);
  const Exception exception =
      session->Set({{"implicit_select", "0"},
                    {"async_insert", "0"},
                    {"max_memory_usage", std::to_string(options_.memory_limit_bytes / 5 * 4)}});
  if (!exception.ok()) return Internal(exception.text);
  return session;
}

Session::Session(const Chdb& chdb, ChdbConnection* connection)
    : chdb_(chdb), connection_(connection) {}

Session::~Session() { chdb_.close_conn(connection_); }

Exception Session::Set(const std::map<std::string, std::string>& settings) {
  if (settings.empty()) return {};
  std::string sql;
  for (const auto& [name, value] : settings) {
    if (!IsSettingName(name)) return Make(kUnknownSetting, "UNKNOWN_SETTING", "Malformed setting");
    sql += fmt::format("{}{} = {}", sql.empty() ? "SET " : ", ", name, Quote(value));
  }
  return RunWhole({sql, "TabSeparated", {}}, Parameters({}), [](std::string_view) { return true; });
}

Exception Session::RunWhole(const Statement& statement, const Parameters& parameters,
                            const std::function<bool(std::string_view)>& sink) {
  const ResultGuard result{
      chdb_, chdb_.query_with_params_n(
                 *connection_, statement.sql.data(), statement.sql.size(), statement.format.data(),
                 statement.format.size(), parameters.names.data(), parameters.name_sizes.data(),
                 parameters.values.data(), parameters.value_sizes.data(), parameters.names.size())};
  Exception exception = FromText(chdb_.result_error(result.result));
  if (!exception.ok()) return exception;
  if (const size_t size = chdb_.result_length(result.result); size > 0) {
    sink({chdb_.result_buffer(result.result), size});
  }
  return {};
}

Exception Session::Run(const Statement& statement,
                       const std::function<bool(std::string_view)>& sink) {
  ChdbQueryAnalysis analysis;
  chdb_.classify_query_n(*connection_, statement.sql.data(), statement.sql.size(), nullptr, 0,
                         &analysis);
  if (analysis.statement_count > 1) {
    return Make(kSyntaxError, "SYNTAX_ERROR", "Multi-statements are not allowed");
  }
  const Parameters parameters(statement.parameters);
  const PieceShape shape = ShapeOf(statement.sql, statement.format);
  if (analysis.statement_count == 0 || analysis.query_class != 0 || shape == PieceShape::kWhole) {
    return RunWhole(statement, parameters, sink);
  }
  const ResultGuard stream{
      chdb_, chdb_.stream_query_with_params_n(
                 *connection_, statement.sql.data(), statement.sql.size(), statement.format.data(),
                 statement.format.size(), parameters.names.data(), parameters.name_sizes.data(),
                 parameters.values.data(), parameters.value_sizes.data(), parameters.names.size())};
  if (Exception exception = FromText(chdb_.result_error(stream.result)); !exception.ok()) {
    // SHOW, DESCRIBE, EXISTS and EXPLAIN have small results and no stream; nothing ran yet.
    if (exception.code == kBadArguments &&
        exception.text.find(kNotStreamable) != std::string::npos) {
      return RunWhole(statement, parameters, sink);
    }
    return exception;
  }
  HeaderStripper header;
  for (;;) {
    const ResultGuard piece{chdb_, chdb_.stream_fetch_result(*connection_, stream.result)};
    Exception exception = FromText(chdb_.result_error(piece.result));
    if (!exception.ok()) return exception;
    const size_t size = chdb_.result_length(piece.result);
    if (size == 0) return {};
    std::string_view bytes(chdb_.result_buffer(piece.result), size);
    if (shape == PieceShape::kHeadered) bytes = header.Strip(bytes);
    if (!sink(bytes)) {
      chdb_.stream_cancel_query(*connection_, stream.result);
      return {};
    }
  }
}

Session::Written Session::Insert(const Statement& statement,
                                 const std::function<StatusOr<std::string_view>()>& next) {
  const Parameters parameters(statement.parameters);
  const InsertGuard insert{
      chdb_, chdb_.stream_insert_with_params_n(
                 *connection_, statement.sql.data(), statement.sql.size(), statement.format.data(),
                 statement.format.size(), parameters.names.data(), parameters.name_sizes.data(),
                 parameters.values.data(), parameters.value_sizes.data(), parameters.names.size())};
  Exception exception = FromText(chdb_.stream_insert_error(insert.stream));
  if (!exception.ok()) return {exception, 0};
  for (;;) {
    const auto piece = next();
    if (!piece.ok()) {
      chdb_.stream_cancel_insert(insert.stream);
      return {Make(kBadArguments, "BAD_ARGUMENTS", Message(piece.status())), 0};
    }
    if (piece->empty()) break;
    if (chdb_.stream_append(insert.stream, piece->data(), piece->size()) != 0) {
      exception = FromText(chdb_.stream_insert_error(insert.stream));
      if (exception.ok()) exception = Make(kBadArguments, "BAD_ARGUMENTS", "The insert failed");
      return {exception, 0};
    }
  }
  const ResultGuard done{chdb_, chdb_.stream_done(insert.stream)};
  exception = FromText(chdb_.result_error(done.result));
  if (!exception.ok()) return {exception, 0};
  return {{}, chdb_.result_rows_written(done.result)};
}

}  // namespace yagura::storeserver
