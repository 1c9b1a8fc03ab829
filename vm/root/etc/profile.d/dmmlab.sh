if [ "$(id -un)" = student ]; then
    PATH=$HOME/dmmlab/.venv/bin:$PATH
    cd ~/dmmlab
fi
