#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/text/text.h"
#include "services/ingestion/workers/followed_file.h"
#include "services/ingestion/workers/listener.h"

namespace yagura::ingestion {

struct FileFollowerOptions {
  std::string name = "file";          // what sources match by, as the listener
  std::vector<std::string> patterns;  // as of glob(3): "/var/log/app/*.log"
  std::filesystem::path positions;    // where it remembers how far it has read
  std::chrono::milliseconds interval{500};
  std::chrono::milliseconds sources_wait{10'000};
  size_t max_files = 1'000;
  size_t part_bytes = 1 << 20;  // of one file, at once
  // A renamed file is followed until it has not grown for so long: its writer may hold it.
  std::chrono::milliseconds rotated_wait{300'000};
  // How far files were read that are not met is remembered for so long, and of so many.
  std::chrono::seconds remember{14 * 24 * 3600};
  size_t max_remembered = 2'000;
  std::shared_ptr<const MultiLineRule> multi_line;  // null: each line is an event
};

// Reads files as they grow, on a thread of its own: renamed and made anew, or copied and emptied
// (compressed ones are left alone). A part of a file counts as read once the streams have its
// lines; killed between, it sends the same part again under the same batch ids, which the streams
// know. While they take nothing it waits: the files keep what is to come. Files that are not met
// (a file system that is not mounted, more files than may be followed) are remembered: what they
// held is not read a second time when they come back.
class FileFollower {
 public:
  // INVALID_ARGUMENT or UNAVAILABLE where the positions cannot be read: what was read is then not
  // known, and reading all again would double it.
  static absl::StatusOr<std::unique_ptr<FileFollower>> Make(const FileFollowerOptions& options,
                                                            const ListenerParts& parts);
  ~FileFollower();  // stops
  void Start();
  void Stop();

 private:
  FileFollower(const FileFollowerOptions& options, const ListenerParts& parts,
               internal::v1::FilePositions known);
  void Run(const std::stop_token& stop);
  void Look();
  void TellUnread() const;
  // `only_known`: where it is a file that was read before.
  void Meet(const std::filesystem::path& path, bool only_known = false);
  // Goes on where an earlier life of the file was left. False: there is none.
  bool Recall(FollowedFile& file);
  // A file was put into the place of one that is no more, with what that held.
  bool Replaces(FollowedFile& file);
  void FindRenamed();
  void Forget();
  void Remember(const FollowedFile& file);
  // True: something was given up.
  bool Tidy();
  // False: nothing was there to read.
  bool Round(const std::stop_token& stop);
  FollowedFile::UpTo UpTo(const FollowedFile& file, SteadyTime now) const;
  bool Send(FollowedFile& file, const std::string& part, const std::stop_token& stop);
  bool Save();
  bool IsGone(const FollowedFile& file) const;

  const FileFollowerOptions options_;
  const ListenerParts parts_;
  Intake intake_;
  std::shared_ptr<const SourceMap> sources_;
  internal::v1::FilePositions known_;  // not met now
  std::map<FileId, FollowedFile> files_;
  bool told_of_limit_ = false;
  StringSet told_unreadable_;
  std::jthread thread_;
};

}  // namespace yagura::ingestion
