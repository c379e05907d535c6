#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace yagura::cli {

class Work;

// Holds the files of a data folder as they are at a moment, by hard links beside them: that costs
// no space and next to no time. A file that is written anew and renamed stays as it was; one that
// is appended to grows on.
class Staging {
 public:
  using Skip = std::function<bool(const std::string&)>;

  explicit Staging(const std::filesystem::path& data_dir);
  ~Staging();  // gives the links back
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  // Takes what is there now but for the names directly below that are skipped; what was taken
  // before stays, or is taken anew where another file has its name now. What a symbolic link leads
  // to is taken in its place.
  absl::Status Take(const Skip& skip, Work& work) const;
  // Takes one name directly below as it is now, and forgets what was taken of it before.
  absl::Status TakeAnew(const std::string& name, Work& work) const;

 private:
  const std::filesystem::path data_dir_;
  const std::filesystem::path folder_;
};

}  // namespace yagura::cli
