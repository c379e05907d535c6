#include "services/store/chdb.h"

#include <dlfcn.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::storeserver {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// A service that systemd starts without User= has no HOME.
std::filesystem::path HomeFolder() {
  if (std::string home = Environment("HOME"); !home.empty()) return home;
  std::array<char, 16 * 1024> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0) return {};
  return found == nullptr || found->pw_dir == nullptr ? "" : found->pw_dir;
}

// Finds one function after another and remembers the first that is missing.
class Binder {
 public:
  explicit Binder(void* library) : library_(library) {}

  template <typename Function>
  void operator()(Function*& target, const char* name) {
    target = reinterpret_cast<Function*>(dlsym(library_, name));
    if (target == nullptr && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

StatusOr<Chdb> Bind(void* library, const std::string& path) {
  Chdb chdb{};
  Binder bind(library);
  bind(chdb.connect, "chdb_connect");
  bind(chdb.close_conn, "chdb_close_conn");
  bind(chdb.shutdown, "chdb_shutdown");
  bind(chdb.set_signal_handlers_enabled, "chdb_set_signal_handlers_enabled");
  bind(chdb.version, "chdb_version");
  bind(chdb.classify_query_n, "chdb_classify_query_n");
  bind(chdb.query_with_params_n, "chdb_query_with_params_n");
  bind(chdb.stream_query_with_params_n, "chdb_stream_query_with_params_n");
  bind(chdb.stream_fetch_result, "chdb_stream_fetch_result");
  bind(chdb.stream_cancel_query, "chdb_stream_cancel_query");
  bind(chdb.destroy_query_result, "chdb_destroy_query_result");
  bind(chdb.result_error, "chdb_result_error");
  bind(chdb.result_buffer, "chdb_result_buffer");
  bind(chdb.result_length, "chdb_result_length");
  bind(chdb.result_rows_written, "chdb_result_rows_written");
  bind(chdb.stream_insert_with_params_n, "chdb_stream_insert_with_params_n");
  bind(chdb.stream_append, "chdb_stream_append");
  bind(chdb.stream_done, "chdb_stream_done");
  bind(chdb.stream_cancel_insert, "chdb_stream_cancel_insert");
  bind(chdb.stream_insert_error, "chdb_stream_insert_error");
  bind(chdb.destroy_insert_stream, "chdb_destroy_insert_stream");
  if (!bind.missing().empty()) {
    return absl::FailedPreconditionError(fmt::format("{} is too old: it has no {}; install {}",
                                                     path, bind.missing(), kLibraryVersion));
  }
  return chdb;
}

}  // namespace

std::vector<std::filesystem::path> LibraryPlaces(const std::string& flag) {
  if (!flag.empty()) return {flag};
  if (const std::string named = Environment("YAGURA_LIBCHDB"); !named.empty()) return {named};
  std::vector<std::filesystem::path> places;
  std::filesystem::path cache = Environment("XDG_CACHE_HOME");
  if (const auto home = HomeFolder(); cache.empty() && !home.empty()) cache = home / ".cache";
  if (!cache.empty()) {
    places.push_back(cache / "yagura" / "chdb" / kLibraryVersion / "libchdb.so");
  }
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) places.push_back(self.parent_path() / "libchdb.so");
  return places;
}

StatusOr<Chdb> LoadChdb(const std::vector<std::filesystem::path>& places) {
  std::vector<std::string> failures;
  for (const std::filesystem::path& place : places) {
    if (void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr) {
      return Bind(library, place.string());
    }
    failures.emplace_back(dlerror());
  }
  return absl::NotFoundError(fmt::format(
      "libchdb cannot be loaded ({}); cmake/install-libchdb.sh fetches it", Join(failures, "; ")));
}

}  // namespace yagura::storeserver
