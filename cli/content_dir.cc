#include "cli/content_dir.h"

namespace yagura::cli {

std::filesystem::path FindContent(const std::filesystem::path& told) {
  if (!told.empty()) return told;
  auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (; folder != folder.root_path(); folder = folder.parent_path()) {
    if (std::filesystem::is_directory(folder / "content" / "sigma")) return folder / "content";
  }
  return "/usr/share/yagura/content";
}

}  // namespace yagura::cli
