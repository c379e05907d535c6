#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "yagura/event/v1/event.pb.h"

namespace yagura::cli {

// What an export is of. All of it is fixed when the export begins.
struct ExportQuestion {
  std::string parent;  // "tenants/acme"
  std::string filter;
  std::string start_time;  // RFC 3339, receive time
  std::string end_time;    // exclusive

  friend bool operator==(const ExportQuestion&, const ExportQuestion&) = default;
};

// Events as files in a folder:
//
//   events-000001.jsonl.zst ...  JSON lines in order of receipt, at most so many bytes of text each
//   manifest.json                the question, the files with their SHA-256, counts and times
//   SHA256SUMS                   of all of these, for `sha256sum -c`
//
// A file is there whole or not at all. Until the end "export.state" says how far it is: an export
// that broke off goes on behind the last file that is as it was written; one that is not, and what
// followed it, is written anew. A release before kept one place alone, behind its last file: its
// files are kept where all of them are as they were written, with a remark that it did not wait for
// what was not stored yet. Not thread-safe.
class EventExport {
 public:
  struct Part {
    std::string name;
    std::string sha256;  // hex
    uint64_t events = 0;
    uint64_t text_bytes = 0;
    uint64_t bytes = 0;  // of the file
    std::string first_receive_time;
    std::string last_receive_time;
    std::string page_token;  // goes on behind it; not in the manifest
  };

  // Begins in a folder that is empty or not there, or goes on where `question` is that of the
  // export that broke off there. FAILED_PRECONDITION where the folder has anything else;
  // INVALID_ARGUMENT (EXPORT_DIFFERS) where it has an export of another question. The folder is
  // this one's until its end: meanwhile FAILED_PRECONDITION (EXPORT_RUNNING) for all others.
  static absl::StatusOr<EventExport> Open(const std::filesystem::path& folder,
                                          const ExportQuestion& question, uint64_t most_part_bytes);
  // The question of the export that broke off in the folder; NOT_FOUND where there is none.
  static absl::StatusOr<ExportQuestion> Unfinished(const std::filesystem::path& folder);

  ~EventExport();
  EventExport(EventExport&&) noexcept;
  EventExport& operator=(EventExport&&) noexcept;

  // The first file of the export that broke off which is gone or altered; empty where none is.
  const std::string& altered() const;
  // It and all behind it, and those before it behind which nothing can go on: dropped.
  const std::vector<std::string>& dropped() const;
  // What could not be exported, in words, of this run and those that broke off before: for people
  // and the manifest ("remarks").
  absl::Status Remark(const std::string& remark);
  const std::vector<std::string>& remarks() const;
  // Where the stream of events goes on; empty at the beginning.
  std::string page_token() const;
  absl::Status Add(const event::v1::Event& event);
  // All events before `page_token` have been added. A part that is large enough ends here.
  absl::Status Reached(const std::string& page_token);
  // Ends the last part and writes manifest and sums. `extra` is what else the manifest says:
  // members of a JSON object without its braces, or nothing.
  absl::Status Finish(std::string_view extra);

  uint64_t events() const;      // of whole parts and the one that is being written
  uint64_t text_bytes() const;  // likewise
  const std::vector<Part>& parts() const;
  // Receive time of the last event, RFC 3339; empty before the first.
  const std::string& last_receive_time() const;

 private:
  struct Impl;
  explicit EventExport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::cli
