#include "common/rpc/run_service.h"
#include "services/directory/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "directory", yagura::directory::ReadSettings,
                                 yagura::directory::NewApp);
}
