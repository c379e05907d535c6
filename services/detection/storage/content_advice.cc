#include "services/detection/storage/content_advice.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "common/status/status.h"

namespace yagura::detection {

std::shared_ptr<const AdviceBook> LoadAdvice(const std::filesystem::path& folder,
                                             const Logger& logger) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() == ".yaml") files.push_back(at->path());
  }
  std::ranges::sort(files);
  auto book = std::make_shared<AdviceBook>();
  for (const auto& file : files) {
    std::string text(AdviceBook::kMaxFile + 1, '\0');
    std::ifstream in(file, std::ios::binary);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(in.gcount()));
    const Status status = book->Add(file.stem().string(), text);
    if (!status.ok()) logger.Error("advice refused", {{"reason", Message(status)}});
  }
  if (!folder.empty()) logger.Info("advice read", {{"texts", book->size()}});
  return book;
}

}  // namespace yagura::detection
